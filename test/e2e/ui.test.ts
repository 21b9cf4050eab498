/**
 * `handlerkit vm ui` in a browser, clicked through as a person does: apply, failure, a detached run, update, reboot, delete. The
 * browser is Debian's Chromium; without it the test is skipped with the reason in its title.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { until } from '../await-condition.ts';
import { HANDLERKIT } from '../handlerkit-command.ts';
import { createLocalVm, type LocalVm, NO_OVERLAY } from '../local-vm.ts';
import { writePackageVersion } from '../newer-package.ts';

/** Not in the folder of the test run, which goes with the run. */
const PICTURES_PARENT = '/tmp';

const { path: browserPath, reason: noBrowser } = findBrowser();

/** Keeps all that the page's live region says: each sentence takes the place of the one before. */
const RECORD_WORDS = `
  globalThis.saidWords = '';
  addEventListener('DOMContentLoaded', () => {
    const region = document.getElementById('outcome');
    if (region === null) return;
    new MutationObserver(() => { globalThis.saidWords += region.textContent + '\\n'; })
      .observe(region, { childList: true, characterData: true, subtree: true });
  });
`;

describe.skipIf(noBrowser !== undefined)(
  `the page of the VM${noBrowser === undefined ? '' : ` (skipped: ${noBrowser})`}`,
  { timeout: 120_000 },
  () => {
    let vm: LocalVm;
    let folder: string;
    let pictures: string;
    let server: ChildProcess;
    let browser: Browser;
    let page: Page;
    const faults: string[] = [];

    beforeAll(async () => {
      vm = await createLocalVm(NO_OVERLAY === undefined ? 'overlay' : 'relocated');
      pictures = mkdtempSync(join(PICTURES_PARENT, 'handlerkit-ui-pictures-'));
      folder = mkdtempSync(join(pictures, 'work-'));
      console.log(`Pictures of the page: ${pictures}`);
      const [program = '', ...args] = HANDLERKIT;
      const network = NO_OVERLAY === undefined ? ['--network', 'host'] : ['--isolation', 'relocated'];
      server = spawn(program, [...args, 'vm', 'ui', '--vm', vm.folder, ...network], {
        cwd: folder,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let stdout = '';
      server.stdout?.setEncoding('utf8').on('data', (text) => {
        stdout += text;
      });
      const url = await until('the address of the page', () => /http:\S+/.exec(stdout)?.[0]);
      browser = await chromium.launch({
        executablePath: browserPath,
        headless: true,
        // The tests run as root, for whom Chromium has no sandbox.
        args: ['--no-sandbox'],
      });
      page = await browser.newPage({ viewport: { width: 1000, height: 800 } });
      // Far from what a step takes, also on a busy machine.
      page.setDefaultTimeout(120_000);
      await page.addInitScript(RECORD_WORDS);
      page.on('pageerror', (error) => faults.push(error.message));
      page.on('console', (message) => {
        if (message.type() === 'error') faults.push(message.text());
      });
      await page.goto(url);
    });
    afterAll(async () => {
      await browser?.close();
      if (server.exitCode === null) {
        const ended = new Promise((resolve) => server.once('exit', resolve));
        server.kill('SIGINT');
        await ended;
      }
      rmSync(folder, { recursive: true, force: true });
      await vm.remove();
    });

    const card = (name: string, state: string) =>
      page.locator(`article[data-extension="${name}"][data-state="${state}"]`);
    const message = (name: string, state: string, text: string) =>
      card(name, state).locator('pre[aria-label^="Message"]').filter({ hasText: text });
    /** Also when the page has said something else since. */
    const hasSaid = (text: string) =>
      expect
        .poll(() => page.evaluate(() => String(Reflect.get(globalThis, 'saidWords'))), { timeout: 120_000 })
        .toContain(text);
    const picture = (name: string) =>
      page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
    const apply = async (zip: string, steps: unknown, secrets = ''): Promise<void> => {
      const keep = page.getByLabel(/^Keep the settings/);
      if (await keep.isChecked()) await keep.uncheck();
      await page.getByLabel('Zip or folder on this machine').fill(zip);
      await page.getByLabel('Public settings (JSON)').fill(JSON.stringify({ steps }));
      await page.getByLabel('Protected settings (JSON)').fill(secrets);
      await page.getByRole('button', { name: 'Apply', exact: true }).click();
    };
    /** Without what was done before. */
    const idle = () => page.getByRole('button', { name: 'Stop what runs' }).waitFor({ state: 'hidden' });

    it('is empty before anything is applied, and is entered once', async () => {
      expect(new URL(page.url()).search).toBe('');
      await page.getByText('No extensions yet.').waitFor();
      expect(await page.title()).toContain('Local VM');
      expect(await page.getByRole('main').count()).toBe(1);
    });

    it('applies a package, and shows success, versions, operations, settings without secrets, and logs', async () => {
      const done = [
        {
          do: 'end',
          message: 'all is well',
          substatus: [{ name: 'part', status: 'success', code: 0, message: 'fine' }],
        },
      ];
      await apply(inject('probeZip'), done, '{"secret": "C4nary-page"}');
      await card('Probe', 'Succeeded').waitFor();
      const text = await card('Probe', 'Succeeded').textContent();
      expect(text).toMatch(
        /Provisioning succeeded[\s\S]*Handlerkit\.Tests\.Probe[\s\S]*1\.0\.0[\s\S]*all is well/,
      );
      expect(text).toMatch(/Substatuses[\s\S]*ComponentStatus\/part\/succeeded[\s\S]*fine/);
      await page.locator('summary').first().click();
      await page.getByText('secret: hidden').waitFor();
      await page
        .getByRole('listitem')
        .filter({ hasText: /enable.*exit 0/ })
        .first()
        .waitFor();
      await page.getByLabel('File', { exact: true }).selectOption({ label: await handlerLog() });
      await page.getByRole('region', { name: 'Text of the log' }).getByText('enable').first().waitFor();
      await hasSaid('Probe: Provisioning succeeded');
      expect(await page.content()).not.toContain('C4nary');
      await picture('success');
    });

    it('shows a failure with the explanation of the agent, says it aloud, and takes an upload', async () => {
      await page.getByLabel('Zip or folder on this machine').fill('');
      await page.getByLabel('Or a zip to upload').setInputFiles(inject('probeZip'));
      await page.getByLabel('Public settings (JSON)').fill('{"steps": [{"do": "nonsense"}]}');
      await page.getByRole('button', { name: 'Apply', exact: true }).click();
      await card('Probe', 'Failed').waitFor();
      const text = await card('Probe', 'Failed').textContent();
      expect(text).toMatch(/Provisioning failed \(Error\) ProvisioningState\/failed\/\d+/);
      await hasSaid('Probe: Provisioning failed');
      await idle();
      await page.getByLabel('Or a zip to upload').setInputFiles([]);
      // Its update fails, which the agent itself reports.
      const plan = {
        do: 'plan',
        operation: 'update',
        steps: [{ do: 'fail', code: 'HANDLER_FAILED', message: 'no update today' }],
      };
      await apply(inject('probeZip'), [plan]);
      await card('Probe', 'Succeeded').waitFor();
      await idle();
      await apply(newer('probeZip', '1.0.1'), []);
      await card('Probe', 'Failed').getByText('Why, and what to do').waitFor();
      expect(await card('Probe', 'Failed').textContent()).toMatch(
        /The agent reports 1008 because[\s\S]*only 0 is success/i,
      );
      await picture('failure');
      await idle();
    });

    it('shows a detached run as transitioning, and then its success without being asked', async () => {
      const gate = join(folder, 'gate');
      await apply(inject('detachedProbeZip'), [
        { do: 'report', message: 'half way' },
        { do: 'wait-for-file', path: gate },
        { do: 'end', message: 'at last' },
      ]);
      await message('ProbeDetached', 'Updating', 'half way').waitFor();
      await picture('transitioning');
      // In the VM, which does not see what is new on this machine.
      expect((await vm.run(['exec', '--', 'touch', gate])).exitCode).toBe(0);
      await message('ProbeDetached', 'Succeeded', 'at last').waitFor();
      await idle();
    });

    it('updates from the card with the settings that are there, with the keyboard only', async () => {
      const button = page.getByRole('button', { name: 'Update ProbeDetached' });
      await button.focus();
      await page.keyboard.press('Enter');
      const focused = page.locator(':focus');
      expect(await focused.getAttribute('id')).toBe('path');
      expect(await page.getByLabel(/^Keep the settings/).isChecked()).toBe(true);
      await page.keyboard.type(newer('detachedProbeZip', '1.0.1'));
      await page.keyboard.press('Enter');
      await card('ProbeDetached', 'Succeeded').getByText('1.0.1', { exact: true }).waitFor();
      await page
        .getByRole('listitem')
        .filter({ hasText: /update.*ProbeDetached 1\.0\.1.*exit 0/ })
        .waitFor();
      await idle();
    });

    it('is all right for people who see, move or read otherwise', async () => {
      await expectAccessible(page);
      await page.setViewportSize({ width: 320, height: 640 });
      await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' });
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(320);
      await expectAccessible(page);
      await page.setViewportSize({ width: 1000, height: 800 });
      await page.emulateMedia({ colorScheme: 'light' });
    });

    it('reboots, and deletes after asking', async () => {
      await page.getByRole('button', { name: 'Reboot' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Reboot' }).click();
      await page.getByText('The VM has been rebooted.').waitFor();
      await idle();
      await page.getByRole('button', { name: 'Delete ProbeDetached' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
      await card('ProbeDetached', 'Succeeded').waitFor();
      for (const name of ['ProbeDetached', 'Probe']) {
        await page.getByRole('button', { name: `Delete ${name}`, exact: true }).click();
        await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
        await page.locator(`article[data-extension="${name}"]`).waitFor({ state: 'detached' });
        await idle();
      }
      await page.getByText('No extensions yet.').waitFor();
      expect(await vm.instanceView()).toEqual([]);
      expect(faults).toEqual([]);
    });

    it('ends with Ctrl-C, which the page tells', async () => {
      const ended = new Promise((resolve) => server.once('exit', (code) => resolve(code)));
      server.kill('SIGINT');
      expect(await ended).toBe(0);
      await page.getByText(/Connection lost|The server has ended/).waitFor();
    });

    /** Path of the probe's own log, as the page names it. */
    async function handlerLog(): Promise<string> {
      const names = await page.getByLabel('File', { exact: true }).locator('option').allTextContents();
      return names.find((name) => /Probe\/.*Execution/.test(name)) ?? '';
    }

    function newer(name: 'probeZip' | 'detachedProbeZip', version: string): string {
      mkdirSync(join(folder, name), { recursive: true });
      const target = join(folder, name, `${version}.zip`);
      if (!readdirSync(join(folder, name)).includes(`${version}.zip`))
        writePackageVersion(inject(name), target, version);
      return target;
    }
  },
);

/** Names, heading order, labels, contrast and visible focus, looked at in the browser. */
async function expectAccessible(page: Page): Promise<void> {
  expect(await page.evaluate(FIND_FAULTS)).toEqual([]);
  await page.locator('h1').click();
  const reached = new Set<string>();
  for (let n = 0; n < 60; n++) {
    await page.keyboard.press('Tab');
    const focus: unknown = await page.evaluate(DESCRIBE_FOCUS);
    if (typeof focus !== 'string') break;
    expect(focus).toMatch(/ visible$/);
    reached.add(focus);
  }
  // Form, buttons of the card, and what scrolls.
  for (const id of ['path', 'file', 'keep', 'reboot', 'log', 'log-text', 'timeline-box']) {
    expect(
      [...reached].some((one) => one.startsWith(`#${id} `)),
      id,
    ).toBe(true);
  }
  expect([...reached].join()).toContain('Delete Probe');
}

/** A text, as it runs in the browser. */
const FIND_FAULTS = `(() => {
  const faults = [];
  const shown = (one) => one.checkVisibility();
  for (const one of document.querySelectorAll('button, input, select, textarea, [role=region], section, article, dialog[open]')) {
    if (!shown(one)) continue;
    const by = one.getAttribute('aria-labelledby');
    const name = one.getAttribute('aria-label') ?? (by && document.getElementById(by)?.textContent) ??
      (one.labels?.length ? one.labels[0].textContent : one.matches('button') ? one.textContent : '');
    if (!name || name.trim() === '') faults.push('no name: ' + one.outerHTML.slice(0, 80));
  }
  let level = 0;
  for (const one of document.querySelectorAll('h1, h2, h3, h4')) {
    if (!shown(one)) continue;
    const next = Number(one.tagName[1]);
    if (next > level + 1) faults.push('heading skips a level: ' + one.textContent);
    level = next;
  }
  const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);
  if (new Set(ids).size !== ids.length) faults.push('an id stands there twice');
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const paperOf = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const paper = parse(getComputedStyle(at).backgroundColor);
      if (paper.length === 3 || paper[3] === 1) return paper;
    }
    return [255, 255, 255];
  };
  for (const one of document.querySelectorAll('body *')) {
    const hasText = [...one.childNodes].some((child) => child.nodeType === 3 && child.data.trim() !== '');
    if (!hasText || !shown(one) || one.matches(':disabled')) continue;
    const [a, b] = [light(parse(getComputedStyle(one).color)), light(paperOf(one))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) faults.push('contrast ' + contrast.toFixed(2) + ': ' + one.outerHTML.slice(0, 80));
  }
  return faults;
})()`;

const DESCRIBE_FOCUS = `(() => {
  const one = document.activeElement;
  if (one === null || one === document.body) return null;
  const style = getComputedStyle(one);
  const isVisible = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
  const name = one.id || one.getAttribute('aria-label') || one.textContent.slice(0, 40);
  return (one.id ? '#' : '') + name + ' ' + (isVisible ? 'visible' : 'without a visible focus');
})()`;

/** Where Chromium is, or why there is none. */
function findBrowser(): { path: string; reason?: string } {
  for (const name of ['chromium', 'chromium-browser']) {
    try {
      return { path: execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim() };
    } catch {
      // Under the other name, perhaps.
    }
  }
  return { path: '', reason: "there is no chromium: Debian's package" };
}
