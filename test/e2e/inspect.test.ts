/** `handlerkit vm set --inspect`, with a debugger that attaches as VS Code and Chrome do. */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { AGENT_VARIABLES } from '@handlerkit/sdk/contract';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HANDLERKIT, REPOSITORY, runHandlerkit } from '../handlerkit-command.ts';
import { connectInspector } from '../inspector-client.ts';
import { type Isolation, NO_OVERLAY } from '../local-vm.ts';

const HANDLER = `import { defineHandler } from '@handlerkit/sdk';

interface Words {
  readonly greeting: string;
}

export const handler = defineHandler({
  enable: async () => {
    const words: Words = { greeting: 'Hello' };
    return { message: words.greeting, substatus: [] };
  },
});
`;
const MAIN = `import { runHandler } from '@handlerkit/sdk';
import extension from '../extension.json' with { type: 'json' };
import { handler } from './handler.ts';

void runHandler(handler, extension);
`;

let folder: string;
let project: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'handlerkit-inspect-'));
  project = join(folder, 'greeter');
  mkdirSync(join(project, 'src'), { recursive: true });
  mkdirSync(join(project, 'node_modules/@handlerkit'), { recursive: true });
  symlinkSync(join(REPOSITORY, 'sdk'), join(project, 'node_modules/@handlerkit/sdk'));
  writeFileSync(join(project, 'src/main.ts'), MAIN);
  writeFileSync(join(project, 'src/handler.ts'), HANDLER);
  writeVersion('1.0.0');
});
afterEach(async () => {
  await runHandlerkit(['vm', 'reset', '--vm', join(folder, 'vm')]);
  rmSync(folder, { recursive: true, force: true });
});

function writeVersion(version: string): void {
  const description = { publisher: 'Contoso', type: 'Greeter', version };
  writeFileSync(join(project, 'extension.json'), JSON.stringify(description));
}

/** Starts `vm set --inspect=0`; `address` resolves when the tool says where the debugger is. */
function startSet(words: readonly string[], isolation: Isolation = 'relocated') {
  const [program = '', ...args] = HANDLERKIT;
  const vm = ['--vm', join(folder, 'vm'), '--isolation', isolation];
  const set = ['vm', 'set', project, '--settings', '{}', '--inspect=0', ...words, ...vm];
  const child = spawn(program, [...args, ...set], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => {
    stdout += String(chunk);
  });
  const ended = new Promise<{ exitCode: number | null; stdout: string; stderr: string }>((resolve) => {
    child.once('close', (exitCode) => resolve({ exitCode, stdout, stderr }));
  });
  const address = new Promise<string>((resolve, reject) => {
    child.stderr.on('data', (chunk) => {
      stderr += String(chunk);
      const found = /\bws:\/\/\S+/.exec(stderr)?.[0];
      if (found !== undefined) resolve(found);
    });
    void ended.then(() => reject(new Error(`no debugger was offered: ${stderr}`)));
  });
  // Not every test asks for it.
  address.catch(() => {});
  return { address, ended, interrupt: () => void child.kill('SIGINT') };
}

/** Attaches, and stands where the operation has stopped by itself. */
async function attach(address: string) {
  const inspector = await connectInspector(address);
  await inspector.send('Runtime.enable');
  await inspector.send('Debugger.enable');
  await inspector.send('Runtime.runIfWaitingForDebugger');
  const script = await inspector.next('Debugger.scriptParsed', ({ url }) => String(url).endsWith('.mjs'));
  await inspector.next('Debugger.paused');
  return { inspector, script };
}

describe.each<Isolation>(['overlay', 'relocated'])('vm set --inspect in an %s VM', (isolation) => {
  it.skipIf(isolation === 'overlay' && NO_OVERLAY !== undefined)(
    'stops enable at its first line, shows the author’s TypeScript, and goes on to success',
    async () => {
      const set = startSet([], isolation);
      const { inspector, script } = await attach(await set.address);
      const { scriptSource } = await inspector.send('Debugger.getScriptSource', {
        scriptId: script.scriptId,
      });
      const lines = String(scriptSource).split('\n');
      const lineNumber = lines.findIndex((line) => line.includes('words.greeting'));
      const columnNumber = lines[lineNumber]?.indexOf('return') ?? -1;
      const [, map = ''] = String(script.sourceMapURL).split('base64,');
      const entry = new SourceMap(JSON.parse(Buffer.from(map, 'base64').toString())).findEntry(
        lineNumber,
        columnNumber,
      );
      expect(entry).toMatchObject({
        originalSource: pathToFileURL(join(project, 'src/handler.ts')).href,
        originalLine: HANDLER.split('\n').findIndex((line) => line.includes('words.greeting')),
      });
      await inspector.send('Debugger.setBreakpoint', {
        location: { scriptId: script.scriptId, lineNumber, columnNumber },
      });
      await inspector.send('Debugger.resume');
      const { callFrames } = await inspector.next('Debugger.paused');
      const [frame] = callFrames as readonly { callFrameId: string; location: { lineNumber: number } }[];
      expect(frame?.location.lineNumber).toBe(lineNumber);
      const names = [AGENT_VARIABLES.sequenceNumber, 'HOME', 'NODE_OPTIONS'];
      const { result } = await inspector.send('Debugger.evaluateOnCallFrame', {
        callFrameId: frame?.callFrameId,
        expression: `[words.greeting, ...${JSON.stringify(names)}.map((name) => process.env[name])]`,
        returnByValue: true,
      });
      expect(result).toMatchObject({ value: ['Hello', '0', null, null] });
      await inspector.send('Debugger.resume');
      await inspector.next('Runtime.executionContextDestroyed');
      inspector.close();
      const { exitCode, stdout, stderr } = await set.ended;
      expect([exitCode, JSON.parse(stdout)[0].statuses[0].message]).toEqual([0, 'Enable succeeded: Hello']);
      expect(stderr).toMatch(/enable +bin\/handler enable +exit 0/);
    },
  );
});

it('stops the update, and nothing else, and takes the order back when nothing heeds it', async () => {
  const unheeded = await startSet(['--inspect-operation', 'update']).ended;
  expect([unheeded.exitCode, unheeded.stderr]).toEqual([
    0,
    expect.stringContaining('No operation "update" of the extension was run'),
  ]);
  writeVersion('1.1.0');
  const set = startSet(['--inspect-operation', 'update']);
  const { inspector } = await attach(await set.address);
  await inspector.send('Debugger.resume');
  await inspector.next('Runtime.executionContextDestroyed');
  inspector.close();
  const { exitCode, stderr } = await set.ended;
  expect(exitCode).toBe(0);
  expect(stderr.match(/waits at its first line/g)).toHaveLength(1);
  const reboot = await runHandlerkit(['vm', 'reboot', '--vm', join(folder, 'vm')]);
  expect([reboot.exitCode, reboot.stderr]).toEqual([0, expect.stringMatching(/enable .* exit 0/)]);
});

it('kills what waits for a debugger when the user stops the command', async () => {
  const set = startSet([]);
  const { inspector } = await attach(await set.address);
  set.interrupt();
  const { exitCode } = await set.ended;
  expect(exitCode).toBe(130);
  await expect(inspector.next('Debugger.resumed')).rejects.toThrow('closed the connection');
});
