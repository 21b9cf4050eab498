/** The contract between the Azure Linux Agent and a handler: one file per artefact, pure. */
export * from './agent-variables.ts';
export * from './agent-waits.ts';
export * from './events.ts';
export * from './exit-codes.ts';
export * from './handler-environment.ts';
export * from './handler-manifest.ts';
export * from './handler-status.ts';
export * from './heartbeat.ts';
export * from './heartbeat-verdict.ts';
export * from './json.ts';
export * from './operations.ts';
export * from './package-layout.ts';
export * from './sequence.ts';
export * from './settings.ts';
export * from './status.ts';
export * from './status-verdict.ts';
