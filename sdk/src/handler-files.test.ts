import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseAgentVariables } from './contract/agent-variables.ts';
import { agentHandlerEnvironment, formatHandlerEnvironment } from './contract/handler-environment.ts';
import {
  emptyOlderSettings,
  findHandlerFolder,
  findSequence,
  readHandlerEnvironment,
  readSettings,
  realProgramPath,
  siblingFolder,
} from './handler-files.ts';
import type { Host } from './host.ts';
import { createHost } from './host.ts';

let lib: string;
let folder: string;
beforeEach(() => {
  lib = mkdtempSync(join(tmpdir(), 'handlerkit-files-'));
  folder = join(lib, 'A.B-C-1.2.3');
  mkdirSync(join(folder, 'config'), { recursive: true });
  mkdirSync(join(folder, 'bin'));
  writeFileSync(join(folder, 'HandlerEnvironment.json'), environmentText());
});
afterEach(() => rmSync(lib, { recursive: true, force: true }));

const environment = () => agentHandlerEnvironment(folder, join(lib, 'log'));
const environmentText = (): string => formatHandlerEnvironment('A.B-C', environment());
const own = () => ({ folder, handlerName: 'A.B-C', version: '1.2.3', libFolder: lib });
const none = parseAgentVariables({});

/** A host whose pauses take no time; `during` is called in each. */
function hurried(during: (pause: number) => void = () => undefined): Host & { pauses: () => number } {
  let pauses = 0;
  return {
    ...createHost(),
    sleep: async () => during(++pauses),
    pauses: () => pauses,
  };
}

function writeSettings(name: string, seconds: number, text = ''): void {
  const path = join(folder, 'config', name);
  writeFileSync(path, text);
  utimesSync(path, seconds, seconds);
}

describe('the handler’s folder', () => {
  it('is the one that the agent names, with or without a slash at its end', () => {
    for (const named of [folder, `${folder}/`]) {
      const variables = parseAgentVariables({ AZURE_GUEST_AGENT_EXTENSION_PATH: named });
      expect(findHandlerFolder(createHost(), variables, '/elsewhere/program')).toEqual(own());
    }
  });

  it('is the one beside or above the program, links resolved', () => {
    writeFileSync(join(folder, 'bin', 'handler-x64'), '');
    symlinkSync(join(folder, 'bin', 'handler-x64'), join(lib, 'link'));
    const path = realProgramPath(join(lib, 'link'));
    expect(findHandlerFolder(createHost(), none, path)).toEqual(own());
    expect(findHandlerFolder(createHost(), none, join(folder, 'program'))).toEqual(own());
    expect(realProgramPath(join(lib, 'missing'))).toBe(join(lib, 'missing'));
  });

  it('counts as the agent’s word even when the environment is not there yet', async () => {
    rmSync(join(folder, 'HandlerEnvironment.json'));
    const variables = parseAgentVariables({ AZURE_GUEST_AGENT_EXTENSION_PATH: folder });
    expect(findHandlerFolder(createHost(), variables, '/elsewhere/program')).toEqual(own());
    const host = hurried((pause) => {
      if (pause === 2) writeFileSync(join(folder, 'HandlerEnvironment.json'), environmentText());
    });
    expect(await readHandlerEnvironment(host, own())).toMatchObject({ statusFolder: join(folder, 'status') });
    expect(host.pauses()).toBe(2);
  });

  it('that is nowhere is an error that says what to do', () => {
    expect(() => findHandlerFolder(createHost(), none, '/nowhere/bin/program')).toThrow(
      /HandlerEnvironment\.json was found neither beside \/nowhere\/bin\/program nor above it; run this program the way/,
    );
  });

  it('has a sibling for another version', () => {
    expect(siblingFolder(own(), '2.0.0')).toEqual({
      ...own(),
      folder: join(lib, 'A.B-C-2.0.0'),
      version: '2.0.0',
    });
  });
});

describe('the handler environment', () => {
  it.each(['', '[{"handlerEnv', 'null'])(
    '%j is read again while the agent may be writing it',
    async (part) => {
      const file = join(folder, 'HandlerEnvironment.json');
      const whole = readFileSync(file, 'utf8');
      writeFileSync(file, part);
      const host = hurried((pause) => {
        if (pause === 4) writeFileSync(file, whole);
      });
      expect((await readHandlerEnvironment(host, own())).configFolder).toBe(join(folder, 'config'));
      writeFileSync(file, part);
      await expect(readHandlerEnvironment(hurried(), own())).rejects.toMatchObject({
        code: 'ENVIRONMENT_INVALID',
        message: expect.stringMatching(
          /HandlerEnvironment\.json.*; the agent writes this file when it starts$/,
        ),
      });
    },
  );
});

describe('the sequence', () => {
  it('is the agent’s, whatever lies in the folder', () => {
    writeSettings('9.settings', 100);
    const variables = parseAgentVariables({ ConfigSequenceNumber: '0' });
    expect(findSequence(createHost(), variables, environment())).toBe(0);
  });

  it('is the one written last without it, not the highest; of one moment the highest', () => {
    writeSettings('9.settings', 100);
    writeSettings('3.settings', 200);
    expect(findSequence(createHost(), none, environment())).toBe(3);
    writeSettings('4.settings', 200);
    writeSettings('10.settings', 200);
    for (const name of ['x.11.settings', '12.settings.tmp', 'settings', '-1.settings'])
      writeSettings(name, 300);
    expect(findSequence(createHost(), none, environment())).toBe(10);
  });

  it('is that of the configuration’s own files where there are several', () => {
    writeSettings('web.1.settings', 100);
    writeSettings('db.2.settings', 200);
    writeSettings('3.settings', 300);
    expect(
      findSequence(createHost(), parseAgentVariables({ ConfigExtensionName: 'web' }), environment()),
    ).toBe(1);
  });

  it('is unknown without a file, and one that vanishes meanwhile is none', () => {
    expect(findSequence(createHost(), none, environment())).toBeUndefined();
    symlinkSync(join(lib, 'gone'), join(folder, 'config', '5.settings'));
    expect(findSequence(createHost(), none, environment())).toBeUndefined();
    rmSync(join(folder, 'config'), { recursive: true });
    expect(findSequence(createHost(), none, environment())).toBeUndefined();
  });
});

describe('settings', () => {
  it('are read when they come late, and again when they are half there', async () => {
    const host = hurried((pause) => {
      if (pause === 1) writeSettings('web.7.settings', 100, '{"runtimeSett');
      if (pause === 3) writeSettings('web.7.settings', 100, '');
    });
    expect(await readSettings(host, environment(), 7, 'web')).toMatchObject({ publicSettings: {} });
    expect(host.pauses()).toBe(3);
  });

  it('that stay away are an error that names their file', async () => {
    await expect(readSettings(hurried(), environment(), 7, undefined)).rejects.toMatchObject({
      code: 'SETTINGS_UNREADABLE',
      message: expect.stringContaining(`${join(folder, 'config', '7.settings')}: is missing`),
    });
  });

  it('that are empty already are not written again', () => {
    const file = join(folder, 'config', '1.settings');
    writeFileSync(file, '');
    utimesSync(file, 1000, 1000);
    emptyOlderSettings(createHost(), environment(), 3, undefined);
    expect(statSync(file).mtimeMs).toBe(1_000_000);
  });

  it('of older sequences of the same configuration are emptied, and no others', () => {
    const names = ['1.settings', '2.settings', '3.settings', '10.settings', 'web.1.settings', 'notes'];
    for (const name of names) writeSettings(name, 100, 'secret');
    emptyOlderSettings(createHost(), environment(), 3, undefined);
    const emptied = names.filter((name) => readFileSync(join(folder, 'config', name), 'utf8') === '');
    expect(emptied).toEqual(['1.settings', '2.settings']);
    rmSync(join(folder, 'config'), { recursive: true });
    emptyOlderSettings(createHost(), environment(), 3, undefined);
    expect(existsSync(join(folder, 'config'))).toBe(false);
  });
});
