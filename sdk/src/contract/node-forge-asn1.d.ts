/** The published types describe node-forge as a whole; its ASN.1 module alone is what the envelope reader loads. */
declare module 'node-forge/lib/asn1.js' {
  import { asn1 } from 'node-forge';
  export = asn1;
}
