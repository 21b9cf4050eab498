import { describe, expect, it } from 'vitest';
import type { RequestedExtension } from './extension-change.ts';
import { findFormer, followVersion, planExtension } from './extension-change.ts';
import type { StoredExtension, StoredSettings } from './store.ts';
import { EMPTY_STORE } from './store.ts';

const SETTINGS: StoredSettings = {
  public: { a: 1, b: { c: [1, 2] } },
  protected: 'envelope',
  thumbprint: 'T',
  protectedDigest: 'digest',
};
const FORMER: StoredExtension = {
  name: 'Greeter',
  publisher: 'Contoso',
  type: 'Greeter',
  version: '1.0.0',
  packageFile: 'a.zip',
  packageDigest: 'a',
  settings: SETTINGS,
  sequence: 5,
  forceUpdateTag: null,
};
const REQUEST: RequestedExtension = {
  identity: { publisher: 'Contoso', type: 'Greeter', version: '1.0.0' },
  name: undefined,
  settings: SETTINGS,
  forceUpdateTag: undefined,
};
const KEPT = { packageFile: 'b.zip', packageDigest: 'b' };
const NULLS = { public: null, protected: null, thumbprint: null, protectedDigest: null };

describe('the sequence number', () => {
  const former = (change: Partial<StoredExtension>): StoredExtension => ({ ...FORMER, ...change });
  it.each([
    ['is 0 at first', undefined, {}, 0],
    ['stays for the same settings', FORMER, {}, 5],
    [
      'stays for the same settings with other key order',
      FORMER,
      { settings: { ...SETTINGS, public: { b: { c: [1, 2] }, a: 1 } } },
      5,
    ],
    ['stays for a new version alone', FORMER, { identity: { ...REQUEST.identity, version: '2.0.0' } }, 5],
    [
      'stays for another envelope of the same settings',
      FORMER,
      { settings: { ...SETTINGS, protected: 'other' } },
      5,
    ],
    ['stays when all settings are kept', FORMER, { settings: 'keep' }, 5],
    ['grows with other public settings', FORMER, { settings: { ...SETTINGS, public: { a: 2 } } }, 6],
    ['grows with other protected settings', FORMER, { settings: { ...SETTINGS, protectedDigest: 'x' } }, 6],
    ['grows with another certificate', FORMER, { settings: { ...SETTINGS, thumbprint: 'x' } }, 6],
    ['grows when settings are gone', FORMER, { settings: null }, 6],
    ['grows with a tag', FORMER, { forceUpdateTag: 'again' }, 6],
    ['stays with the same tag', former({ forceUpdateTag: 'again' }), { forceUpdateTag: 'again' }, 5],
    ['stays when the tag is not given again', former({ forceUpdateTag: 'again' }), {}, 5],
    [
      'stays 0 without settings, whatever the tag',
      former({ settings: null, sequence: 0 }),
      { settings: null, forceUpdateTag: 'x' },
      0,
    ],
  ] as const)('%s', (_, before, change, sequence) => {
    expect(planExtension(before, { ...REQUEST, ...change }, KEPT).sequence).toBe(sequence);
  });
});

describe('the extension that results', () => {
  it('has no settings block when none were ever given', () => {
    expect(planExtension(undefined, { ...REQUEST, settings: null }, KEPT).settings).toBeNull();
  });

  it('loses the settings that are not given again, as with az, but keeps the block', () => {
    expect(planExtension(FORMER, { ...REQUEST, settings: null }, KEPT).settings).toEqual(NULLS);
  });

  it('keeps the former envelope when the settings mean the same', () => {
    const plan = planExtension(FORMER, { ...REQUEST, settings: { ...SETTINGS, protected: 'x' } }, KEPT);
    expect(plan.settings?.protected).toBe('envelope');
  });

  it('takes the new package and version, and the type for a name', () => {
    const identity = { publisher: 'Contoso', type: 'Greeter', version: '1.1.0' };
    expect(planExtension(undefined, { ...REQUEST, identity }, KEPT)).toMatchObject({
      name: 'Greeter',
      version: '1.1.0',
      ...KEPT,
    });
  });
});

describe('the instance that a request is about', () => {
  const store = { ...EMPTY_STORE, extensions: [{ ...FORMER, name: 'mine' }] };
  const { identity } = REQUEST;
  it('is the one that the handler has, whatever its name', () => {
    expect(findFormer(store, identity, undefined)?.name).toBe('mine');
    expect(findFormer(store, { ...identity, publisher: 'CONTOSO' }, 'Mine')?.name).toBe('mine');
  });

  it('is none for another handler', () => {
    expect(findFormer(store, { ...identity, type: 'Other' }, undefined)).toBeUndefined();
  });

  it('is refused when the name belongs to another handler', () => {
    expect(() => findFormer(store, { ...identity, type: 'Other' }, 'mine')).toThrow(
      expect.objectContaining({ code: 'TYPE_CHANGED' }),
    );
  });

  it('is refused when the handler is there under another name', () => {
    expect(() => findFormer(store, identity, 'second')).toThrow(
      expect.objectContaining({ code: 'ALREADY_SET', hint: expect.stringContaining('vm delete mine') }),
    );
  });

  describe('of a package that supports several configurations', () => {
    const multiple = { ...identity, supportsMultiple: true };
    const two = {
      ...EMPTY_STORE,
      extensions: ['web', 'db'].map((name) => ({ ...FORMER, name, isConfiguration: true })),
    };
    it('is the only one there is, one by its name, or a new one', () => {
      expect(findFormer(store, multiple, undefined)?.name).toBe('mine');
      expect(findFormer(two, multiple, 'db')?.name).toBe('db');
      expect(findFormer(two, multiple, 'new')).toBeUndefined();
    });

    it.each([
      [multiple, undefined, 'NAME_NEEDED'],
      [multiple, 'a.b', 'NAME_INVALID'],
      [identity, 'db', 'ALREADY_SET'],
    ])('is refused: %j as %j is %s', (package_, name, code) => {
      expect(() => findFormer(two, package_, name)).toThrow(expect.objectContaining({ code }));
    });

    it('has a settings block from the beginning, and follows the version of another one', () => {
      const plan = planExtension(undefined, { ...REQUEST, identity: multiple, settings: null }, KEPT);
      expect(plan).toMatchObject({ isConfiguration: true, settings: NULLS, sequence: 0 });
      const followed = followVersion({ ...FORMER, name: 'db' }, { ...plan, version: '2.0.0' });
      expect(followed).toMatchObject({ name: 'db', version: '2.0.0', packageFile: 'b.zip', sequence: 5 });
    });
  });
});
