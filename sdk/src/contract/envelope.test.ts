import { readFileSync } from 'node:fs';
import forge from 'node-forge';
import { describe, expect, it } from 'vitest';
import { createCertificate } from '../testing/certificates.ts';
import { encryptProtectedSettings } from '../testing/envelopes.ts';
import { decodeBase64, parseEnvelope } from './envelope.ts';
import { ENVELOPE_OIDS } from './envelope-algorithms.ts';
import { ContractError } from './json.ts';

const GOLDEN = readFileSync(new URL('fixtures/protected-settings.envelope', import.meta.url), 'utf8').trim();
const NAME = 'Windows Azure CRP Certificate Generator';

describe('parseEnvelope', () => {
  it('reads the form that Azure sends', async () => {
    const envelope = await parseEnvelope(GOLDEN);
    expect(envelope.recipients).toHaveLength(1);
    const recipient = envelope.recipients[0];
    expect(recipient?.keyTransport).toEqual({ scheme: 'pkcs1' });
    expect(recipient?.encryptedKey).toHaveLength(256);
    const issuer = recipient?.id.kind === 'issuer-serial' ? recipient.id.issuer.toString('latin1') : '';
    expect(issuer.endsWith(NAME)).toBe(true);
    expect(recipient?.id).toMatchObject({ serial: '5a3b7c91e0d24f68b1c6d7e8f9012345' });
    expect(envelope.cipher).toEqual({ scheme: 'cbc', name: 'des-ede3-cbc' });
    expect(envelope.iv).toHaveLength(8);
    expect(envelope.encryptedContent).toHaveLength(40);
    expect(envelope.tag).toHaveLength(0);
  });

  it('reads base64 that is broken into lines', async () => {
    const lines = ` ${GOLDEN.replace(/.{64}/g, '$&\r\n')}\n`;
    expect(await parseEnvelope(lines)).toEqual(await parseEnvelope(GOLDEN));
  });

  it('names a content cipher that it does not know instead of failing', async () => {
    // The last arc of des-ede3-cbc (7) becomes that of rc2-cbc (2).
    const hex = decodeBase64(GOLDEN).toString('hex').replace('06082a864886f70d0307', '06082a864886f70d0302');
    const envelope = await parseEnvelope(Buffer.from(hex, 'hex').toString('base64'));
    expect(envelope.cipher).toEqual({ scheme: 'unsupported', algorithm: '1.2.840.113549.3.2' });
  });

  it('names a key transport that it does not know instead of failing', async () => {
    const hex = decodeBase64(GOLDEN)
      .toString('hex')
      .replace('06092a864886f70d010101', '06092a864886f70d01010a');
    const envelope = await parseEnvelope(Buffer.from(hex, 'hex').toString('base64'));
    expect(envelope.recipients[0]?.keyTransport).toEqual({
      scheme: 'unsupported',
      algorithm: '1.2.840.113549.1.1.10',
    });
  });

  it.each([
    ['', 'empty'],
    ['   ', 'white space'],
    ['****', 'no base64'],
    [GOLDEN.replaceAll('/', '_').replaceAll('+', '-'), 'base64url'],
    ['AAAA', 'no ASN.1'],
    ['MAA=', 'an empty sequence'],
    [GOLDEN.slice(0, 400), 'cut off'],
    [Buffer.concat([decodeBase64(GOLDEN), Buffer.from([0])]).toString('base64'), 'a byte too many'],
    [Buffer.from(`30${'80'.repeat(50_000)}`, 'hex').toString('base64'), 'nested without end'],
    [
      Buffer.from(decodeBase64(GOLDEN).toString('hex').replace('010703', '010701'), 'hex').toString('base64'),
      'another kind of message',
    ],
  ])('refuses %.20j as one error without its bytes: %s', async (base64) => {
    const parsed = parseEnvelope(base64);
    await expect(parsed).rejects.toBeInstanceOf(ContractError);
    await expect(parsed).rejects.toThrow(/^protectedSettings: is not a CMS envelope in base64$/);
  });

  describe('with parts that Azure does not send', () => {
    const { certificatePem } = createCertificate();
    const cbc = encryptProtectedSettings({}, certificatePem, { content: 'aes-128-cbc' });
    const gcm = encryptProtectedSettings({}, certificatePem, { content: 'aes-128-gcm' });
    const unread = { scheme: 'unsupported', algorithm: '2.16.840.1.101.3.4.1.6' };

    it('skips the originator', async () => {
      const changed = edit(cbc, (fields) => fields.splice(1, 0, tagged(0, [])));
      expect(await parseEnvelope(changed)).toEqual(await parseEnvelope(cbc));
    });

    it('skips recipients of another kind than key transport', async () => {
      const changed = edit(cbc, ([, set]) => listOf(set).unshift(tagged(2, []), tagged(3, [])));
      expect(await parseEnvelope(changed)).toEqual(await parseEnvelope(cbc));
      const none = edit(cbc, ([, set]) => listOf(set).splice(0, 1, tagged(2, [])));
      expect((await parseEnvelope(none)).recipients).toEqual([]);
    });

    it('refuses an envelope without recipients', async () => {
      const changed = edit(cbc, ([, set]) => listOf(set).splice(0));
      await expect(parseEnvelope(changed)).rejects.toBeInstanceOf(ContractError);
    });

    it('skips attributes that are not authenticated', async () => {
      const changed = edit(gcm, (fields) => fields.push(tagged(2, [])));
      expect(await parseEnvelope(changed)).toEqual(await parseEnvelope(gcm));
    });

    it('leaves authenticated attributes to another program', async () => {
      const changed = edit(gcm, (fields) => fields.splice(3, 0, tagged(1, [])));
      expect((await parseEnvelope(changed)).cipher).toEqual(unread);
    });

    it('leaves AES-GCM in an envelope without a tag to another program', async () => {
      const changed = edit(gcm, (fields) => fields.pop(), ENVELOPE_OIDS.envelopedData);
      expect((await parseEnvelope(changed)).cipher).toEqual(unread);
    });
  });
});

/** The envelope after `change` was made to its fields, and to its kind when `kind` is given. */
function edit(base64: string, change: (fields: forge.asn1.Asn1[]) => unknown, kind?: string): string {
  const root = forge.asn1.fromDer(decodeBase64(base64).toString('latin1'));
  const [type, content] = listOf(root);
  change(listOf(listOf(content)[0]));
  if (kind !== undefined && type !== undefined) type.value = forge.asn1.oidToDer(kind).getBytes();
  return Buffer.from(forge.asn1.toDer(root).getBytes(), 'latin1').toString('base64');
}

function listOf(node: forge.asn1.Asn1 | undefined): forge.asn1.Asn1[] {
  if (node === undefined || typeof node.value === 'string') throw new Error('not constructed');
  return node.value;
}

function tagged(tag: number, members: forge.asn1.Asn1[]): forge.asn1.Asn1 {
  return forge.asn1.create(forge.asn1.Class.CONTEXT_SPECIFIC, tag, true, members);
}
