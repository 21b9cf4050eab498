/**
 * The few forms of ASN.1 that certificates' wrappings are made of, as nodes of node-forge, and their DER.
 * Source: X.690 sections 8 and 10.
 */
import forge from 'node-forge';

export type Asn1 = forge.asn1.Asn1;

/** The universal types. */
export const ASN1 = forge.asn1.Type;

/** The bytes of a node. */
export function toDer(node: Asn1): Buffer {
  return Buffer.from(forge.asn1.toDer(node).getBytes(), 'latin1');
}

export function sequence(...members: Asn1[]): Asn1 {
  return universal(ASN1.SEQUENCE, members);
}

export function set(...members: Asn1[]): Asn1 {
  return universal(ASN1.SET, members);
}

/** A node of a universal type; a text is its content, one character a byte. */
export function universal(type: forge.asn1.Type, value: string | Asn1[]): Asn1 {
  return forge.asn1.create(forge.asn1.Class.UNIVERSAL, type, Array.isArray(value), value);
}

/** `[tag]` around nodes, or in place of the tag of a primitive with these bytes. */
export function context(tag: number, value: Buffer | Asn1[]): Asn1 {
  const content = Array.isArray(value) ? value : value.toString('latin1');
  return forge.asn1.create(forge.asn1.Class.CONTEXT_SPECIFIC, tag, Array.isArray(value), content);
}

export function oid(dotted: string): Asn1 {
  return universal(ASN1.OID, forge.asn1.oidToDer(dotted).getBytes());
}

/** A whole number that JavaScript can keep. */
export function integer(value: number): Asn1 {
  return universal(ASN1.INTEGER, forge.asn1.integerToDer(value).getBytes());
}

export function octets(value: Buffer): Asn1 {
  return universal(ASN1.OCTETSTRING, value.toString('latin1'));
}

/** The NULL that some algorithms have for parameters. */
export function nothing(): Asn1 {
  return universal(ASN1.NULL, '');
}
