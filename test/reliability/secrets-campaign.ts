/**
 * The secrets campaign: canaries in every protected field of Custom Script, of VM Access and of a careless author's extension, runs that end
 * in every way, and a search of all that they leave, say, send and start. What may hold a secret is declared in one table, with its mode.
 */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { runHandlerkit } from '../handlerkit-command.ts';
import { NO_OVERLAY, whyNoRealAgent } from '../local-vm.ts';
import { writePackageVersion } from '../newer-package.ts';
import type { UnpackedPackage } from '../unpacked-handler.ts';
import { unpackPackage } from '../unpacked-handler.ts';
import { findRoot } from '../vm-access/roots.ts';
import type { Campaign, CampaignContext, CampaignSize, Figure } from './campaign.ts';
import { none } from './campaign.ts';
import type { Canaries, CanaryShape } from './canaries.ts';
import { createCanaries } from './canaries.ts';
import { createLeakSearch, writtenForms } from './leak-search.ts';
import type { Sampled } from './proc-sampler.ts';
import { startProcSampler } from './proc-sampler.ts';
import type { CustomScriptCases } from './secrets-custom-script.ts';
import { createCustomScriptCases, startSecretServers } from './secrets-custom-script.ts';
import { HOLDERS } from './secrets-holders.ts';
import type { Ledger } from './secrets-ledger.ts';
import { createLedger } from './secrets-ledger.ts';
import { packWithSecrets } from './secrets-packing.ts';
import type { ProbeCases } from './secrets-probe.ts';
import { createProbeCases } from './secrets-probe.ts';
import type { WatchedTool } from './secrets-tool.ts';
import { createWatchedTool } from './secrets-tool.ts';
import {
  runConfigurations,
  runCustomScript,
  runCustomScriptOffline,
  runDeploy,
  runProbe,
  watchPage,
} from './secrets-vm.ts';
import { ACCOUNT_HOLDERS } from './secrets-vm-access.ts';
import { runVmAccess } from './secrets-vm-access-run.ts';
import {
  countCoreDumps,
  HAS_STRACE,
  killInTheMiddle,
  liveWithoutAgent,
  watchPrograms,
} from './secrets-without-agent.ts';

export const secretsCampaign: Campaign = { name: 'secrets', run };

/** Leaks are told by `progress`, one line each. */
async function run(size: CampaignSize, context: CampaignContext): Promise<readonly Figure[]> {
  const canaries = createCanaries();
  const ledger = createLedger(canaries, [...HOLDERS, ...ACCOUNT_HOLDERS]);
  const servers = await startSecretServers();
  const packages: UnpackedPackage[] = [];
  const unpack = (zip: string): UnpackedPackage => {
    const unpacked = unpackPackage(zip);
    packages.push(unpacked);
    ledger.know(zip);
    for (const name of readdirSync(join(unpacked.folder, 'bin')))
      ledger.know(join(unpacked.folder, 'bin', name));
    return unpacked;
  };
  const campaign: Work = {
    size,
    context,
    canaries,
    ledger,
    unpack,
    script: createCustomScriptCases(canaries, servers),
    probe: createProbeCases(canaries),
  };
  try {
    const missed = countMissedForms();
    const needles = [...writtenForms(canaries.marker).values()].flat();
    const sampler = await startProcSampler(needles, size === 'long' ? 0 : SHORT_PAUSE_SECONDS);
    let sampled: Sampled | undefined;
    const found = await carryOut(campaign).finally(async () => {
      sampled = await sampler.end();
    });
    for (const { place, near, words } of sampled?.leaks ?? []) {
      ledger.text(`${place} ${words.replaceAll('\0', ' ')}`, near);
    }
    for (const request of servers.strangersRequests) ledger.text('request to a stranger', request);
    for (const line of [...ledger.leaks, ...ledger.wrongModes]) context.progress(line);
    for (const [why, count] of ledger.declared) context.progress(`declared: ${why}: ${count}`);
    return [
      none('forms of a canary that the search does not find', missed),
      { what: 'canaries planted', value: canaries.all.length },
      { what: 'files searched', value: ledger.counts.files },
      { what: 'bytes searched', value: ledger.counts.bytes / 1024 / 1024, unit: 'MiB' },
      { what: 'outputs, requests and pages searched', value: ledger.counts.outputs },
      { what: 'looks at arguments and environments in /proc', value: sampled?.looks ?? 0 },
      { what: 'programs seen there', value: sampled?.programs ?? 0 },
      { what: 'starts of programs seen by strace', value: found.programs },
      { what: 'packages searched', value: found.packages },
      none('canaries outside of the places that are declared to hold them', ledger.leaks.length),
      { what: 'files and folders judged by mode and owner', value: ledger.counts.judged },
      none('files with too wide a mode, or of another owner', ledger.wrongModes.length),
      none('core dumps, and programs that may write one', found.coreDumps),
      ...found.skipped.map((reason) => ({ what: 'not carried out', value: reason })),
    ];
  } finally {
    await servers.close();
    for (const unpacked of packages) unpacked.remove();
  }
}

interface Work {
  readonly size: CampaignSize;
  readonly context: CampaignContext;
  readonly canaries: Canaries;
  readonly ledger: Ledger;
  readonly script: CustomScriptCases;
  readonly probe: ProbeCases;
  unpack(zip: string): UnpackedPackage;
}

/** What was done besides what the ledger knows. */
interface Done {
  programs: number;
  packages: number;
  coreDumps: number;
  readonly skipped: string[];
}

/** Of one core so little that the tests beside it do not wait. */
const SHORT_PAUSE_SECONDS = 0.25;

async function carryOut(campaign: Work): Promise<Done> {
  const { size, context, canaries, ledger, unpack, script, probe } = campaign;
  const { customScriptZip, probeZip } = context.zips;
  const done: Done = { programs: 0, packages: 0, coreDumps: 0, skipped: [] };
  const isLong = size === 'long';
  const [scriptPackage, probePackage] = [unpack(customScriptZip), unpack(probeZip)];
  unpack(context.zips.vmAccessZip);
  unpack(context.zips.detachedProbeZip);

  context.progress('without an agent');
  if (HAS_STRACE) {
    const settings = isLong
      ? [
          script.success(),
          script.failure(),
          script.timeLimit(),
          script.asUser('nobody'),
          ...script.refused().slice(0, 3),
        ]
      : [script.success()];
    done.programs += await watchPrograms(scriptPackage, settings, ledger);
    if (isLong)
      done.programs += await watchPrograms(probePackage, [probe.telling(), probe.working()], ledger);
  } else done.skipped.push('starts of programs: there is no strace');
  await killInTheMiddle(probePackage, probe.waiting(), ledger);
  if (isLong) await killInTheMiddle(scriptPackage, script.account(), ledger, { names: 'failed' });
  if (isLong)
    await killInTheMiddle(scriptPackage, script.identity(), ledger, { metadata: [{ status: 500 }] });
  await liveWithoutAgent(scriptPackage, script, ledger);
  done.coreDumps += await countCoreDumps(probePackage, probe, ledger);

  if (NO_OVERLAY !== undefined) done.skipped.push(`the local VM: ${NO_OVERLAY}`);
  else {
    const newer = newerOf(campaign, customScriptZip, 'newer.zip');
    await onVm(campaign, 'embedded', ['--agent', 'embedded'], { zip: customScriptZip, newer });
    if (isLong) {
      const reason = whyNoRealAgent();
      if (reason === undefined)
        await onVm(campaign, 'waagent', ['--agent', 'waagent'], { zip: customScriptZip, newer });
      else done.skipped.push(`the real agent: ${reason}`);
      const zip = await packForNode(campaign);
      unpack(zip);
      await onVm(campaign, 'node', [], { zip, newer: newerOf(campaign, zip, 'newer-node.zip') });
    }
    const root = await findRoot('bookworm');
    if (root.reason !== undefined) done.skipped.push(`VM Access: ${root.reason}`);
    else {
      const words = ['--isolation', 'overlay', '--network', 'loopback', '--rootfs', root.folder];
      await withTool(campaign, 'vm-access', words, (tool) =>
        runVmAccess({ tool, ledger, canaries, size }, context.zips.vmAccessZip),
      );
    }
  }
  context.progress('packing');
  const folder = join(context.work, 'packing');
  mkdirSync(folder);
  done.packages += await packWithSecrets(folder, isLong ? ['bun', 'node'] : [], canaries, ledger);
  return done;
}

/** One VM with all extensions but VM Access. */
async function onVm(
  campaign: Work,
  title: string,
  more: readonly string[],
  packages: { readonly zip: string; readonly newer: string },
): Promise<void> {
  const { size, context, canaries, ledger, script, probe } = campaign;
  const { probeZip, detachedProbeZip } = context.zips;
  // The real agent has a network of its own, in which the servers of the files are not.
  const isOnline = title !== 'waagent';
  const network = isOnline ? 'host' : 'loopback';
  await withTool(campaign, title, ['--isolation', 'overlay', '--network', network, ...more], async (tool) => {
    const run = { tool, ledger, canaries, size };
    await runProbe(run, probeZip, probe);
    await watchPage(run, 'Probe');
    if (isOnline) await runCustomScript(run, packages, script);
    else await runCustomScriptOffline(run, packages.zip, script);
    if (size === 'long') await runConfigurations(run, detachedProbeZip, probe);
    if (title === 'embedded') await runDeploy(run, packages.zip, () => script.success());
  });
}

async function withTool(
  { context, ledger }: Work,
  title: string,
  vm: readonly string[],
  play: (tool: WatchedTool) => Promise<void>,
): Promise<void> {
  context.progress(`on a VM: ${title}`);
  const tool = createWatchedTool({ title, folder: join(context.work, title), vm }, ledger);
  try {
    await play(tool);
  } finally {
    await tool.end();
  }
}

function newerOf({ context, ledger }: Work, zip: string, name: string): string {
  const newer = join(context.work, name);
  writePackageVersion(zip, newer, '1.1.0');
  ledger.know(newer);
  return newer;
}

async function packForNode({ context }: Work): Promise<string> {
  const zip = join(context.work, 'node.zip');
  const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';
  const words = ['--runtime', 'node', '--architectures', architecture, '--out', zip, '--quiet'];
  const { exitCode, stderr } = await runHandlerkit(['pack', 'extensions/custom-script', ...words]);
  if (exitCode !== 0) throw new Error(`Custom Script could not be packed for Node: ${stderr}`);
  return zip;
}

/** The search itself is tried: each shape in each form, amid other text. */
function countMissedForms(): number {
  const canaries = createCanaries();
  const shapes: readonly CanaryShape[] = [
    'ascii',
    'utf8',
    'quotes',
    'shell',
    'lines',
    'markup',
    'eight',
    'digits',
    'uuid',
    'date',
  ];
  const texts = shapes.map((shape) => canaries.plant(shape, shape));
  const search = createLeakSearch(canaries);
  let missed = 0;
  for (const text of texts) {
    for (const [form, all] of writtenForms(text)) {
      for (const bytes of all) {
        const amid = Buffer.concat([Buffer.from('before '), bytes, Buffer.from(' after')]);
        const isTrivial = form === 'upper case' && text === text.toUpperCase();
        if (!isTrivial && search(amid).length === 0) missed++;
      }
    }
    const around = (by: string): Buffer => Buffer.from(`${by}${text}${by}`);
    for (const by of ['', 'a', 'bc']) {
      if (search(Buffer.from(around(by).toString('base64'))).length === 0) missed++;
      if (search(Buffer.from(around(by).toString('hex'))).length === 0) missed++;
    }
  }
  return missed;
}
