/** The borders between the packages, and the proof that each rule can fail. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { checkDependencies, checkImports, checkSyntax } from './border-rules.ts';
import {
  isProduct,
  parseWorkspace,
  REPOSITORY,
  readCommandNames,
  readModules,
  readRootTools,
  readWorkspaces,
  type SourceModule,
} from './repository.ts';

const workspaces = readWorkspaces();
const modules = readModules();

describe('the repository', () => {
  test('has modules in every workspace', () => {
    for (const { folder } of workspaces) {
      expect(modules.filter(({ path }) => path.startsWith(`${folder}/`)).length, folder).toBeGreaterThan(0);
    }
  });

  test('has no import that crosses a border', () => {
    expect(modules.flatMap((module) => checkImports(module, workspaces))).toEqual([]);
  });

  test('touches the process only where a program begins, has no default export and a pure contract', () => {
    expect(modules.flatMap((module) => checkSyntax(module))).toEqual([]);
  });

  test.each(workspaces.map((workspace) => [workspace.folder, workspace] as const))(
    '%s declares the packages that it uses, and no others',
    (folder, workspace) => {
      const own = modules.filter(({ path }) => path.startsWith(`${folder}/`));
      expect(checkDependencies(workspace, own)).toEqual([]);
    },
  );

  test('uses every development tool that the root declares', () => {
    const { tools, scripts } = readRootTools();
    const words = new Set(scripts.split(/\s+/));
    const unused = tools.filter(
      (tool) => !tool.startsWith('@types/') && !readCommandNames(tool).some((name) => words.has(name)),
    );
    expect(tools.length).toBeGreaterThan(0);
    expect(unused).toEqual([]);
  });
});

describe('importing a module', () => {
  test('has no effect: nothing is printed, written, changed or left open', async () => {
    const paths = modules
      .map(({ path }) => path)
      .filter((path) => isProduct(path) && !path.endsWith('.d.ts') && !isHandlerProgram(path));
    expect(paths.length).toBeGreaterThan(60);
    expect(await importAll(paths.map((path) => join(REPOSITORY, path)))).toBe('');
  });

  test('is found to have an effect', async () => {
    const found = await importExamples({
      'prints.ts': "console.log('hello');",
      'sets-variable.ts': "process.env.HANDLERKIT_BORDER = '1';",
      'sets-exit-code.ts': 'process.exitCode = 3;',
      'moves.ts': "process.chdir('/');",
      'listens.ts': "process.on('SIGTERM', () => {});",
      'writes.ts':
        "import { writeFileSync } from 'node:fs'; writeFileSync(`${process.env.HOME}/left-behind`, '');",
      'throws.ts': "throw new Error('no');",
      'harmless.ts': 'export const x = 1;',
    });
    for (const finding of [
      /prints\.ts: importing it prints "hello/,
      /sets-variable\.ts: importing it changes the environment/,
      /sets-exit-code\.ts: importing it changes the exit code/,
      /moves\.ts: importing it changes the working folder/,
      /listens\.ts: importing it changes the listeners of the process/,
      /throws\.ts: importing it throws: no/,
      /left behind: left-behind/,
    ])
      expect(found).toMatch(finding);
    expect(found).not.toContain('harmless.ts');
  });

  test('is found to hold the process', async () => {
    const found = await importExamples({ 'waits.ts': 'setInterval(() => {}, 1000);' });
    expect(found).toContain('did not end by itself');
  });
});

describe('an import is refused', () => {
  test.each([
    ['sdk/src/contract/status.ts', "import { x } from '../exec.ts';"],
    ['sdk/src/contract/status.ts', "import { readFileSync } from 'node:fs';"],
    ['sdk/src/contract/status.ts', "import asn1 from 'node-forge/lib/asn1.js';"],
    ['sdk/src/contract/status.ts', "import { pki } from 'node-forge';"],
    ['sdk/src/contract/status.ts', "export * from '../testing/index.ts';"],
    ['sdk/src/enable.ts', "import { createTestMachine } from './testing/index.ts';"],
    ['sdk/src/enable.ts', "import type { Machine } from './testing/machine.ts';"],
    ['sdk/src/enable.ts', "import { x } from './enable.test.ts';"],
    ['sdk/src/enable.ts', "import { x } from 'handlerkit';"],
    ['sdk/src/enable.ts', "import { x } from '../../tools/src/ui.ts';"],
    ['sdk/src/enable.ts', 'const x = await import(name);'],
    ['sdk/src/enable.ts', "import { x } from '/etc/x.ts';"],
    ['tools/src/ui.ts', "import { handler } from '@handlerkit/custom-script';"],
    ['tools/src/ui.ts', "const x = await import('../../extensions/custom-script/src/handler.ts');"],
    ['tools/src/ui.ts', "import { x } from '@handlerkit/test';"],
    ['tools/src/ui.ts', "type X = typeof import('@handlerkit/sdk/src/journal.ts');"],
    ['tools/src/ui.ts', "import { x } from './fixtures/test-vm.ts';"],
    ['extensions/custom-script/src/run.ts', "import { x } from 'handlerkit';"],
    ['extensions/custom-script/src/run.ts', "import { x } from '@handlerkit/sdk/testing';"],
    ['extensions/custom-script/src/run.ts', "import { x } from 'node-forge';"],
    ['extensions/custom-script/src/run.ts', "export { x } from '../../../sdk/src/exec.ts';"],
    ['test/e2e/demo.ts', "import { x } from '../../sdk/src/journal.ts';"],
    ['test/e2e/demo.ts', "import { x } from '@handlerkit/sdk/journal';"],
    ['test/e2e/demo.ts', "const x = require('../../tools/src/ui.ts');"],
  ])('in %s: %s', (path, text) => {
    expect(checkImports({ path, text }, workspaces)).toHaveLength(1);
  });
});

describe('an import is allowed', () => {
  test.each([
    ['sdk/src/contract/status.ts', "import { x } from './json.ts';"],
    ['sdk/src/contract/envelope.ts', "const x = await import('node-forge/lib/asn1.js');"],
    [
      'sdk/src/contract/status.test.ts',
      "import { x } from 'vitest'; import { y } from '../testing/index.ts';",
    ],
    ['sdk/src/enable.ts', "import { x } from './contract/status.ts'; import 'node:fs';"],
    ['tools/src/ui.ts', "import { x } from '@handlerkit/sdk/testing';"],
    [
      'extensions/custom-script/src/run.ts',
      "import { x } from '@handlerkit/sdk/contract'; import 'zod/mini';",
    ],
    ['extensions/custom-script/src/main.ts', "import x from '../extension.json' with { type: 'json' };"],
    ['test/e2e/demo.ts', "import { x } from '@handlerkit/sdk/testing'; import { y } from '../local-vm.ts';"],
  ])('in %s: %s', (path, text) => {
    expect(checkImports({ path, text }, workspaces)).toEqual([]);
  });
});

describe('syntax is refused', () => {
  test.each([
    ['sdk/src/main.ts', 'process.exit(1);'],
    ['test/e2e/demo.ts', "process['exit'](1);"],
    ['test/e2e/demo.ts', 'process[name](1);'],
    ['tools/src/ui.ts', 'const words = process.argv;'],
    ['tools/src/ui.ts', 'const { argv: words } = process;'],
    ['tools/src/tool-deps.ts', 'const words = process.argv;'],
    ['sdk/src/enable.ts', 'process.exitCode = 1;'],
    ['sdk/src/enable.ts', 'export default 1;'],
    ['sdk/src/enable.ts', 'export default function x() {}'],
    ['sdk/src/enable.ts', 'const x = 1; export { x as default };'],
    ['sdk/src/contract/status.ts', 'const x = process.platform;'],
    ['sdk/src/contract/status.ts', 'const x = new Date();'],
    ['sdk/src/contract/status.ts', 'const x = Date.now();'],
    ['sdk/src/contract/status.ts', 'setTimeout(() => {}, 1);'],
  ])('in %s: %s', (path, text) => {
    expect(checkSyntax({ path, text }).length).toBeGreaterThan(0);
  });

  test.each([
    ['sdk/src/main.ts', 'process.exitCode = process.argv.length;'],
    ['tools/src/cli.ts', 'const words = process.argv;'],
    ['tools/src/tool-deps.ts', 'process.exitCode = 1;'],
    ['sdk/src/contract/status.ts', 'const x = new Date(5); const y = { process: x, console: 1 }.process;'],
    ['sdk/src/enable.ts', "const program = 'process.exit(1)';"],
  ])('but not in %s: %s', (path, text) => {
    expect(checkSyntax({ path, text })).toEqual([]);
  });
});

describe('a package is told', () => {
  const tools = (dependencies: object, devDependencies: object): ReturnType<typeof parseWorkspace> =>
    parseWorkspace('tools', JSON.stringify({ name: 'handlerkit', dependencies, devDependencies }));
  const code: SourceModule = { path: 'tools/src/ui.ts', text: "import { x } from 'tar';" };
  const unit: SourceModule = { path: 'tools/src/ui.test.ts', text: "import { x } from 'fast-check';" };

  test.each([
    ['to declare what it imports', tools({}, {}), [code], 'does not declare tar'],
    ['to drop what nothing imports', tools({ tar: '1', yazl: '1' }, {}), [code], 'declares yazl'],
    [
      'to drop types of what nothing imports',
      tools({ tar: '1' }, { '@types/yazl': '1' }),
      [code],
      '@types/yazl',
    ],
    [
      'to declare what its tests import',
      tools({ tar: '1' }, {}),
      [code, unit],
      'does not declare fast-check',
    ],
    ['that only tests need it', tools({ 'fast-check': '1' }, {}), [unit], 'its code does not import'],
    ['that its code needs it', tools({}, { tar: '1' }), [code], 'declares tar for development'],
  ])('%s', (_what, workspace, own, finding) => {
    expect(checkDependencies(workspace, own).join('\n')).toContain(finding);
  });

  test('nothing when all is declared', () => {
    const workspace = tools({ tar: '1' }, { 'fast-check': '1', '@types/tar': '1' });
    expect(checkDependencies(workspace, [code, unit])).toEqual([]);
  });
});

/** The program of an extension runs when it is imported; the sdk's `main.ts` is a function. */
function isHandlerProgram(path: string): boolean {
  return path.startsWith('extensions/') && path.endsWith('/main.ts');
}

/** {@link importAll} for modules that are given as text. */
async function importExamples(texts: Readonly<Record<string, string>>): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'handlerkit-borders-'));
  try {
    const paths = Object.keys(texts).map((name) => join(folder, name));
    for (const [name, text] of Object.entries(texts)) writeFileSync(join(folder, name), text);
    return await importAll(paths);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Imports the modules in a child process with empty folders of its own, and gives what the imports did. */
async function importAll(paths: readonly string[]): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'handlerkit-borders-'));
  try {
    const child = spawn(
      process.execPath,
      [
        '--conditions=@handlerkit/source',
        '--import',
        import.meta.resolve('tsx'),
        fileURLToPath(new URL('import-every-module.ts', import.meta.url)),
      ],
      {
        cwd: folder,
        env: { PATH: process.env.PATH, HOME: folder, TMPDIR: folder, TSX_DISABLE_CACHE: '1' },
        stdio: 'pipe',
      },
    );
    let output = '';
    let held: NodeJS.Timeout | undefined;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
        if (!output.endsWith(DONE)) return;
        held ??= setTimeout(() => {
          output = `${output.slice(0, -DONE.length)}the program did not end by itself\n${DONE}`;
          child.kill('SIGKILL');
        }, PATIENCE_MS);
      });
    }
    child.stdin.end(paths.join('\n'));
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', () => resolve());
    });
    clearTimeout(held);
    const left = readdirSync(folder).map((name) => `left behind: ${name}\n`);
    return `${output.endsWith(DONE) ? output.slice(0, -DONE.length) : `${output}it broke off\n`}${left.join('')}`;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const DONE = 'done\n';
/** How long the child may take to end once all is imported. */
const PATIENCE_MS = 3_000;
