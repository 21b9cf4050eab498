import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { readSshd } from './effective-sshd.ts';
import type { DebianRelease, SshdMachine } from './fixtures/sshd-machine.ts';
import { startSshdMachine, whyNoMachine } from './fixtures/sshd-machine.ts';
import { readStaged } from './sshd-staging.ts';
import type { LocatedDirective, SshdFiles } from './sshd-tree.ts';
import {
  changedFiles,
  findMainFile,
  hostFiles,
  listDirectives,
  listFiles,
  readSshdTree,
} from './sshd-tree.ts';

// A machine of its own for each test takes its time beside others.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 });

const MAIN = '/etc/ssh/sshd_config';
const D = '/etc/ssh/sshd_config.d';

/** Files in memory, with the folders that their paths name. */
function files(texts: Readonly<Record<string, string>>): SshdFiles {
  return changedFiles({ read: () => undefined, list: () => [] }, new Map(Object.entries(texts)));
}

/** What the tree says about a keyword for a user: the first line of a Match that names just that user, else the first for all. */
function decide(directives: readonly LocatedDirective[], keyword: string, user: string): string | undefined {
  const lines = directives.filter((directive) => directive.keyword === keyword);
  const inMatch = lines.find(
    ({ conditions }) =>
      conditions.length > 0 && conditions.every((text) => [`User ${user}`, 'all'].includes(text)),
  );
  return (inMatch ?? lines.find(({ conditions }) => conditions.length === 0))?.args[0];
}

describe('readSshdTree', () => {
  it('reads included files where they are included, each with the conditions around it (W31)', () => {
    const tree = readSshdTree(
      files({
        [MAIN]: `Include ${D}/*.conf\nPort 22\nMatch User bob\n  Include extra.conf\nX11Forwarding no\n`,
        [`${D}/10-a.conf`]: 'Match Group staff\nBanner none\n',
        [`${D}/20-b.conf`]: 'UsePAM yes\n',
        '/etc/ssh/extra.conf': 'PermitTTY no\nMatch all\nAllowTcpForwarding no\n',
      }),
    );
    const shown = listDirectives(tree)
      .filter(({ keyword }) => !['include', 'match'].includes(keyword))
      .map(({ keyword, conditions }) => `${keyword} ${conditions.join(' + ')}`.trim());
    expect(shown).toEqual([
      'banner Group staff',
      'usepam',
      'port',
      'permittty User bob',
      'allowtcpforwarding User bob + all',
      'x11forwarding User bob',
    ]);
    expect(listFiles(tree).map(({ path }) => path)).toEqual([
      MAIN,
      `${D}/10-a.conf`,
      `${D}/20-b.conf`,
      '/etc/ssh/extra.conf',
    ]);
  });

  it('ends with a file that includes itself', () => {
    const tree = readSshdTree(files({ [MAIN]: `Include ${MAIN}\nPort 22\n` }));
    expect(listDirectives(tree).filter(({ keyword }) => keyword === 'port')).toHaveLength(17);
  });

  it.each([
    ['the one in /etc', { [MAIN]: '', '/usr/etc/ssh/sshd_config': '' }, MAIN],
    [
      "SUSE's below /usr where there is no other",
      { '/usr/etc/ssh/sshd_config': '' },
      '/usr/etc/ssh/sshd_config',
    ],
    ['the one in /etc where there is none at all', {}, MAIN],
  ])('takes as the main file %s', (_what, texts, main) => {
    expect(findMainFile(files(texts))).toBe(main);
  });
});

/** Configurations in which it is easy to be wrong about who wins. The keywords: see below. */
const CONFIGURATIONS: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
  ['the first of two lines', { [MAIN]: 'PasswordAuthentication no\nPasswordAuthentication yes\n' }],
  ['lower case and indent', { [MAIN]: '  passwordauthentication no\nPasswordAuthentication yes\n' }],
  ['an equals sign', { [MAIN]: 'PasswordAuthentication=no\nPasswordAuthentication yes\n' }],
  ['spaces around it', { [MAIN]: 'PasswordAuthentication = "no"\nPasswordAuthentication yes\n' }],
  ['an equals sign before the keyword', { [MAIN]: '=PasswordAuthentication no\n' }],
  ['a comment at the end', { [MAIN]: 'PasswordAuthentication no # yes\nPasswordAuthentication yes\n' }],
  ['carriage returns', { [MAIN]: 'PasswordAuthentication no\r\nX11Forwarding yes\r\n' }],
  ['a Match', { [MAIN]: 'Match User alice\nPasswordAuthentication no\nMatch all\nX11Forwarding yes\n' }],
  ['a Match of another user', { [MAIN]: 'Match User bob\nPasswordAuthentication no\n' }],
  [
    'two of the same user',
    { [MAIN]: 'Match User alice\nPasswordAuthentication no\nMatch User alice\nPasswordAuthentication yes\n' },
  ],
  [
    'an included file first',
    {
      [MAIN]: `Include ${D}/*.conf\nPasswordAuthentication yes\n`,
      [`${D}/60-x.conf`]: 'PasswordAuthentication no\n',
    },
  ],
  [
    'an included file last',
    {
      [MAIN]: `PasswordAuthentication yes\nInclude ${D}/*.conf\n`,
      [`${D}/60-x.conf`]: 'PasswordAuthentication no\n',
    },
  ],
  [
    'several, in their order',
    {
      [MAIN]: 'Include sshd_config.d/*.conf\n',
      [`${D}/9.conf`]: 'PasswordAuthentication yes\n',
      [`${D}/10.conf`]: 'PasswordAuthentication no\n',
    },
  ],
  [
    'a Match that ends with its file',
    {
      [MAIN]: `Include ${D}/*.conf\nX11Forwarding yes\nPasswordAuthentication no\n`,
      [`${D}/1.conf`]: 'Match User bob\nX11Forwarding no\n',
    },
  ],
  [
    'an include below a Match',
    {
      [MAIN]: `Match User alice\nInclude ${D}/1.conf\nX11Forwarding yes\n`,
      [`${D}/1.conf`]: 'PasswordAuthentication no\nMatch User bob\nPermitTTY no\n',
    },
  ],
  [
    'a Match below a Match of another',
    {
      [MAIN]: `Match User bob\nInclude ${D}/1.conf\n`,
      [`${D}/1.conf`]: 'Match User alice\nPasswordAuthentication no\n',
    },
  ],
  [
    'nested files',
    {
      [MAIN]: `Include ${D}/1.conf\n`,
      [`${D}/1.conf`]: 'Include sshd_config.d/sub.x\nPasswordAuthentication yes\n',
      [`${D}/sub.x`]: 'PasswordAuthentication no\n',
    },
  ],
  ['a pattern that finds nothing', { [MAIN]: `Include ${D}/none*\nPasswordAuthentication no\n` }],
];
const KEYWORDS = ['passwordauthentication', 'x11forwarding', 'permittty'];

describe.each<DebianRelease>(['bullseye', 'bookworm', 'trixie'])('beside the real sshd of %s', (release) => {
  const reason = whyNoMachine(release);
  let machine: SshdMachine | undefined;
  beforeAll(async () => {
    if (reason === undefined) machine = await startSshdMachine(release);
  });
  afterAll(() => machine?.remove());

  it.skipIf(reason !== undefined).each(CONFIGURATIONS)('agrees about %s (W31)', async (_what, texts) => {
    const { context, host, sh, write } = machine ?? expect.fail('no machine');
    await sh(`rm -f ${MAIN} ${D}/*`);
    for (const [path, text] of Object.entries(texts)) write(path, text);
    const directives = listDirectives(readSshdTree(hostFiles(host)));
    const defaults: Readonly<Record<string, string>> = {
      passwordauthentication: 'yes',
      x11forwarding: 'no',
      permittty: 'yes',
    };
    for (const user of ['alice', 'bob']) {
      const effective = await readSshd(context, user);
      const staged = user === 'alice' ? await readStaged(context, new Map(), user) : effective;
      for (const keyword of KEYWORDS) {
        const decided = decide(directives, keyword, user) ?? defaults[keyword];
        expect({ user, keyword, value: decided }).toEqual({
          user,
          keyword,
          value: effective?.values(keyword)[0],
        });
        expect(staged?.values(keyword)).toEqual(effective?.values(keyword));
      }
    }
    expect(await sh('ls -A /etc/ssh /run')).not.toContain('handlerkit');
  });
});
