import { describe, expect, it } from 'vitest';
import { AGENT_ERRORS } from './agent-errors.ts';
import type { ReportedHandler } from './agent-messages.ts';
import { explainFailure, explainHeartbeat } from './agent-messages.ts';

function report(status: string | null, code: number, message: string | null): ReportedHandler {
  return { status, code, message };
}
const explain = (code: number, message: string): string | undefined =>
  explainFailure(report('NotReady', code, message));

describe('the words about a failure', () => {
  it.each(AGENT_ERRORS.filter((row) => row.code !== 0))('for code $code are its cause and cure', (row) => {
    expect(explain(row.code, 'some message')).toBe(
      `the agent reports ${row.code} because ${row.cause}. ${row.cure}`,
    );
  });

  it('are none for a handler that did not fail', () => {
    expect(explain(0, 'Plugin installed but not enabled')).toBeUndefined();
  });

  it('know what to say of a code that does not exist', () => {
    expect(explain(7, 'x')).toContain('the agent reports 7 because');
  });

  it.each<[number, string, string]>([
    [
      1009,
      "Extension 'A.B' will not be processed since extension processing is disabled.",
      'Extensions.Enabled is n',
    ],
    [1009, 'Extension will not be processed: [InvalidPolicyError] x', 'the policy file of the VM is invalid'],
    [1009, "Extension will not be processed: failed to run extension 'A.B'", 'this one is not listed'],
    [
      -1,
      'Dependent Extension A.B did not succeed. Status was error',
      'a lower dependency level did not succeed',
    ],
    [-1, 'Skipping processing of extensions since execution of', 'a lower dependency level did not succeed'],
    [
      1008,
      '[ExtensionUpdateError] [ExtensionOperationError] Non-zero exit code: 7, x; ContinueOnUpdate: False',
      'disable or uninstall of the old version failed',
    ],
    [1008, '[ExtensionOperationError] Non-zero exit code: 7, x', 'update exited with another code than 0'],
    [1009, '[ExtensionOperationError] Non-zero exit code: 7, x', 'enable exited with another code than 0'],
    [1011, '[ExtensionError] Timeout(300): x', 'killed with SIGKILL'],
    [
      -1,
      'Failed to download artifacts: [ExtensionDownloadError] HandlerManifest.json not found',
      'the package has no',
    ],
    [
      -1,
      '[ExtensionError] Unable to find version 3.1 in manifest for extension A.B',
      'the wanted version is not among',
    ],
    [
      -1,
      'Ran into config errors: [ExtensionsGoalStateError] Handler A.B does not support MultiConfig but CRP expects it',
      'supportsMultipleExtensions',
    ],
    [-1, 'Ran into config errors: [ExtensionsGoalStateError] x', 'the settings block of the goal state'],
    [-1, "'updateCommand'", 'has no such command'],
    [-1, "'NoneType' object has no attribute 'lstrip'", 'is not a text'],
    [-1, "'int' object has no attribute 'lower'", 'updateMode'],
    [-1, '[ExtensionError] Malformed manifest file.', 'JSON of another shape'],
    [-1, "'handlerManifest'", 'JSON of another shape'],
    [-1, '0', 'JSON of another shape'],
    [-1, '[ExtensionError] Failed to get heart beat file', 'there is no heartbeat.log'],
    [-1, "[ExtensionError] Malformed heartbeat file: 'heartbeat'", 'heartbeat.log is not as'],
    [
      3,
      '[ExtensionStatusError] Invalid status format by extension: Missing formattedMessage/lang key',
      'Allowed: [{"heartbeat"',
    ],
    [
      -1,
      '[ExtensionError] Failed to update settings file\nInner error: x',
      'could not write the settings file',
    ],
  ])('for %d and %j speak of it', (code, message, words) => {
    expect(explain(code, message)).toContain(words);
    expect(explain(code, message)).toContain(`the agent reports ${code} because `);
  });

  it.each<[number, string]>([
    [126, 'a mount with noexec'],
    [127, 'there is no such command'],
    [137, 'signal 9 ended the command'],
    [51, 'The exit code 51 itself means nothing to the agent'],
  ])('say what the exit code %d is', (exitCode, words) => {
    expect(explain(1009, `[ExtensionOperationError] Non-zero exit code: ${exitCode}, x`)).toContain(words);
  });
});

describe('the words about a heartbeat', () => {
  it.each<[string | null, string | undefined]>([
    ['Ready', undefined],
    ['NotReady', undefined],
    ['Unresponsive', 'was not written for more than 600 s'],
    ['ready', 'its status is `ready`, and the agent passes on what it finds; allowed: Ready, NotReady'],
    [null, 'it has no status'],
  ])('with the status %j are %s', (status, words) => {
    const said = explainHeartbeat(report(status, 0, 'x'));
    if (words === undefined) expect(said).toBeUndefined();
    else expect(said).toContain(words);
  });
});
