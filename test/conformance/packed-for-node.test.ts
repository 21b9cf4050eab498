/** The main path of a handler that is packed for Node, on the local VM: protected settings, an update, and its end. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { REPOSITORY, runHandlerkit } from '../handlerkit-command.ts';
import type { InstanceView, LocalVm } from '../local-vm.ts';
import { createLocalVm, NO_OVERLAY } from '../local-vm.ts';
import { writePackageVersion } from '../newer-package.ts';
import { brief, readTrace } from '../probe-trace.ts';

const HANDLER = 'Handlerkit.Tests.Probe';

let folder: string;
let vm: LocalVm;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'handlerkit-node-'));
  vm = await createLocalVm(NO_OVERLAY === undefined ? 'overlay' : 'relocated');
});
afterAll(async () => {
  await vm.remove();
  rmSync(folder, { recursive: true, force: true });
});

it('packs the probe for Node, and the agent installs, enables, updates and uninstalls it', async () => {
  const zip = join(folder, '1.0.0.zip');
  const newer = join(folder, '1.1.0.zip');
  const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';
  const probe = join(REPOSITORY, 'test/fixtures/probe');
  const words = ['--runtime', 'node', '--architectures', architecture, '--out', zip, '--json'];
  const packed = await runHandlerkit(['pack', probe, ...words]);
  expect(packed).toMatchObject({ exitCode: 0 });
  expect(JSON.parse(packed.stdout)).toMatchObject({ runtime: 'node', architectures: [architecture] });
  writePackageVersion(zip, newer, '1.1.0');

  const settings = { public: { steps: [] }, protected: { greeting: 'from the protected half' } };
  const enabled = await vm.set(zip, settings);
  expect(enabled).toMatchObject({ exitCode: 0 });
  const [view] = JSON.parse(enabled.stdout) as InstanceView[];
  expect(view?.statuses[0]?.message).toBe('Enable succeeded');
  const lines = () => readTrace(join(vm.logFolder(), HANDLER));
  expect(lines().map(brief)).toEqual(['install 1.0.0', 'enable 1.0.0']);
  expect(lines()[1]).toMatchObject({ greeting: 'from the protected half' });

  const others = { ...settings, protected: { greeting: 'another' } };
  expect(await vm.set(newer, others)).toMatchObject({ exitCode: 0 });
  expect(lines().slice(2).map(brief)).toEqual([
    'disable 1.0.0',
    'update 1.1.0',
    'install 1.1.0',
    'enable 1.1.0',
  ]);
  expect(lines()[5]).toMatchObject({ greeting: 'another' });
  await vm.delete('Probe');
  expect(lines().slice(6).map(brief)).toEqual(['disable 1.1.0', 'uninstall 1.1.0']);
  expect(readdirSync(vm.agentFolder()).filter((name) => name.startsWith(HANDLER))).toEqual([]);
});
