/** `@handlerkit/sdk/testing`: a machine for tests of a handler, and a VM's certificates, their PFX, and envelopes. */
export type { ProtectedSettingsRequest } from '../decrypt.ts';
export { decryptProtectedSettings } from '../decrypt.ts';
export type { CertificateOptions, TestCertificate } from './certificates.ts';
export { createCertificate, TENANT_CERTIFICATE_ISSUER } from './certificates.ts';
export type { EnvelopeOptions } from './envelopes.ts';
export { encryptProtectedSettings } from './envelopes.ts';
export type {
  OperationOptions,
  OperationOutcome,
  ScriptedResult,
  TestMachine,
  TestMachineOptions,
  TestSettings,
} from './machine.ts';
export { createTestMachine } from './machine.ts';
export type { PfxContents } from './pfx.ts';
export { createPfx } from './pfx.ts';
