import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { decodeBase64, parseEnvelope } from './envelope.ts';
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
});
