/** Templates and other languages, read back by parsers that are not ours: JSON, Bicep, PowerShell, HCL. */
import { createRequire } from 'node:module';
import { parse as parseHcl } from '@cdktn/hcl2json';
import { beforeAll, describe, expect, it } from 'vitest';
import { Language, type Node, Parser } from 'web-tree-sitter';
import { formatArm, PARAMETERS_FILE, SECRET_PARAMETERS_FILE } from './arm.ts';
import { bicepLiteral, formatBicep, quoteBicep } from './bicep.ts';
import type { DeployFile, Deployment } from './deployment.ts';
import { NASTY_SETTINGS, NASTY_TEXTS, sampleDeployment } from './fixtures/sample-deployment.ts';
import { asciiJson } from './json-text.ts';
import { formatPowershell, quotePowershell } from './powershell.ts';
import { formatTerraform, hclLiteral, quoteHcl } from './terraform.ts';

const SECRET = { password: "canary-'value'" };
const names = { group: 'web', target: 'web1' };
const values = { kind: 'values', values: SECRET, file: undefined } as const;
const keyVault = {
  kind: 'key-vault',
  secretUrl: 'https://v.vault.azure.net/secrets/s/1',
  vaultId: '/subscriptions/1/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v',
} as const;
const scaleSet = { kind: 'scale-set', name: 'set1' } as const;

const fileOf = (files: readonly DeployFile[], name: string): DeployFile => {
  const file = files.find((one) => one.name === name);
  if (file === undefined) throw new Error(`no ${name}`);
  return file;
};
const textOf = (files: readonly DeployFile[]): string => files[0]?.text ?? '';

let bicep: Parser;
let powershell: Parser;

beforeAll(async () => {
  await Parser.init();
  const require = createRequire(import.meta.url);
  const load = async (file: string): Promise<Parser> => {
    const parser = new Parser();
    parser.setLanguage(await Language.load(file));
    return parser;
  };
  bicep = await load(require.resolve('tree-sitter-bicep/tree-sitter-bicep.wasm'));
  powershell = await load(require.resolve('tree-sitter-powershell/tree-sitter-powershell.wasm'));
});

/** The root of a text that the parser takes without a fault. */
function read(parser: Parser, text: string): Node {
  const root = parser.parse(text)?.rootNode;
  if (root === undefined || root.hasError) throw new Error(`not parsed: ${root?.toString()}\n${text}`);
  return root;
}

describe('a template of Azure Resource Manager', () => {
  const template = (changes: Partial<Deployment>) => JSON.parse(textOf(formatArm(sampleDeployment(changes))));

  /** What the service makes of a template's text: "[[x]" is the text "[x]", "[x]" would be an expression. */
  function evaluate(value: unknown): unknown {
    if (typeof value === 'string') {
      if (!value.startsWith('[') || !value.endsWith(']')) return value;
      if (!value.startsWith('[[')) throw new Error(`an expression: ${value}`);
      return value.slice(1);
    }
    if (Array.isArray(value)) return value.map(evaluate);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [evaluate(key), evaluate(item)]));
  }

  it('holds the settings with nothing in them that is an expression', () => {
    const [resource] = template({ settings: NASTY_SETTINGS }).resources;
    expect(evaluate(resource.properties.settings)).toEqual(NASTY_SETTINGS);
  });

  it('says everything whose default has changed or that others rely on', () => {
    const { resources, $schema, contentVersion, parameters } = template({
      forceUpdateTag: '[2]',
      provisionAfter: ['A'],
      location: 'westeurope',
    });
    expect($schema).toBe('https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#');
    expect(contentVersion).toBe('1.0.0.0');
    expect(parameters).toMatchObject({
      vmName: { type: 'string', defaultValue: 'web1' },
      location: { type: 'string', defaultValue: 'westeurope' },
    });
    expect(resources).toEqual([
      {
        type: 'Microsoft.Compute/virtualMachines/extensions',
        apiVersion: '2025-04-01',
        name: "[format('{0}/{1}', parameters('vmName'), 'Greeter')]",
        location: "[parameters('location')]",
        properties: {
          publisher: 'Contoso',
          type: 'Greeter',
          typeHandlerVersion: '1.0',
          autoUpgradeMinorVersion: true,
          enableAutomaticUpgrade: false,
          suppressFailures: false,
          forceUpdateTag: '[[2]',
          provisionAfterExtensions: ['A'],
          settings: {},
        },
      },
    ]);
  });

  it('takes protected settings as a secure object from a file of mode 0600', () => {
    const files = formatArm(sampleDeployment({ protectedSettings: values }));
    const { parameters, resources } = JSON.parse(textOf(files));
    expect(parameters.protectedSettings.type).toBe('secureObject');
    expect(parameters.protectedSettings).not.toHaveProperty('defaultValue');
    expect(resources[0].properties.protectedSettings).toBe("[parameters('protectedSettings')]");
    const secret = fileOf(files, SECRET_PARAMETERS_FILE);
    expect(secret).toMatchObject({ mode: 0o600, isSecret: true });
    expect(JSON.parse(secret.text).parameters).toEqual({ protectedSettings: { value: SECRET } });
    expect(JSON.parse(fileOf(files, PARAMETERS_FILE).text).parameters).toEqual({ vmName: { value: 'web1' } });
    for (const file of files.filter((one) => !one.isSecret)) expect(file.text).not.toContain('canary');
  });

  it('refers to a key vault', () => {
    expect(template({ protectedSettings: keyVault }).resources[0].properties).toMatchObject({
      protectedSettingsFromKeyVault: {
        secretUrl: keyVault.secretUrl,
        sourceVault: { id: keyVault.vaultId },
      },
    });
  });

  it('sets a scale set, with the time that its extensions need', () => {
    const deployment = sampleDeployment({ target: scaleSet, timeoutMinutes: 200 });
    const [resource] = template({ target: scaleSet }).resources;
    expect(resource).toMatchObject({
      type: 'Microsoft.Compute/virtualMachineScaleSets/extensions',
      name: "[format('{0}/{1}', parameters('vmssName'), 'Greeter')]",
    });
    expect(resource).not.toHaveProperty('location');
    expect(fileOf(formatArm(deployment), 'deploy.sh').text).toContain('extensionsTimeBudget=PT120M');
  });
});

describe('Bicep', () => {
  /** The parser says where a string ends and that nothing in it is an expression; the escapes are those of the language. */
  function stringOf(node: Node): string {
    if (node.descendantsOfType('interpolation').length > 0) throw new Error(`an expression: ${node.text}`);
    return node.text
      .slice(1, -1)
      .replace(/\\(?:u\{([0-9a-f]+)\}|(.))/g, (_whole, code: string | undefined, letter: string) =>
        code === undefined
          ? ({ n: '\n', r: '\r', t: '\t' }[letter] ?? letter)
          : String.fromCodePoint(Number.parseInt(code, 16)),
      );
  }

  function literalOf(node: Node): unknown {
    const inner = node.namedChildren.filter((child) => child !== null);
    switch (node.type) {
      case 'string':
        return stringOf(node);
      case 'number':
        return Number(node.text);
      case 'boolean':
        return node.text === 'true';
      case 'null':
        return null;
      case 'array':
        return inner.map(literalOf);
      case 'object':
        return Object.fromEntries(
          inner.map((property) => {
            const [key, value] = property.namedChildren;
            if (key == null || value == null) throw new Error(property.text);
            return [key.type === 'string' ? stringOf(key) : key.text, literalOf(value)];
          }),
        );
      case 'unary_expression':
        return Number(node.text);
      case 'call_expression': {
        const json = node.descendantsOfType('string')[0];
        if (json == null || !node.text.startsWith('json(')) throw new Error(node.text);
        return JSON.parse(stringOf(json));
      }
      default:
        throw new Error(`${node.type}: ${node.text}`);
    }
  }

  const literal = (text: string): unknown => {
    const value = read(bicep, `var x = ${text}\n`).descendantsOfType('variable_declaration')[0]
      ?.lastNamedChild;
    if (value == null) throw new Error(text);
    return literalOf(value);
  };

  it.each(NASTY_TEXTS)('keeps the text %j', (text) => {
    expect(literal(quoteBicep(text))).toBe(text);
    expect(quoteBicep(text)).toMatch(/^[ -~]*$/);
  });

  it('keeps the settings', () => {
    expect(literal(bicepLiteral(NASTY_SETTINGS))).toEqual(NASTY_SETTINGS);
  });

  it.each<[string, Partial<Deployment>, readonly string[]]>([
    [
      'a machine',
      { protectedSettings: values, settings: NASTY_SETTINGS },
      [
        '@secure()',
        'protectedSettings: protectedSettings',
        'enableAutomaticUpgrade: false',
        'location: location',
      ],
    ],
    [
      'a scale set',
      { target: scaleSet, provisionAfter: ['A'] },
      ["param vmssName string = 'set1'", "'Microsoft.Compute/virtualMachineScaleSets/extensions@2025-04-01'"],
    ],
    ['a key vault', { protectedSettings: keyVault }, [`secretUrl: '${keyVault.secretUrl}'`]],
    [
      'an unknown machine',
      { target: { kind: 'machine', name: undefined }, location: 'westeurope' },
      ['param vmName string\n', "param location string = 'westeurope'"],
    ],
  ])('is a file that the parser takes, for %s', (_title, changes, parts) => {
    const files = formatBicep(sampleDeployment(changes));
    const text = textOf(files);
    read(bicep, text);
    for (const part of parts) expect(text).toContain(part);
    expect(text).not.toContain('canary');
  });
});

describe('PowerShell', () => {
  /** The text of a verbatim string: two quotes stand for one. */
  function verbatim(node: Node | undefined): string {
    if (node === undefined) throw new Error('no string');
    return node.text.slice(1, -1).replace(/(['\u2018\u2019\u201a\u201b])\1/g, '$1');
  }

  it.each(NASTY_TEXTS.filter((text) => !text.includes('\0')))('keeps the text %j', (text) => {
    // The parser does not know of typographic quotes, so they are counted by the rule: each is doubled.
    for (const quote of quotePowershell(text)
      .slice(1, -1)
      .match(/['\u2018\u2019\u201a\u201b]+/g) ?? []) {
      expect(quote.length % 2).toBe(0);
    }
    const strings = read(powershell, `$x = ${quotePowershell(text)}\n`).descendantsOfType(
      'verbatim_string_characters',
    );
    expect(strings).toHaveLength(1);
    expect(verbatim(strings[0] ?? undefined)).toBe(text);
  });

  const textFor = (changes: Partial<Deployment>): string =>
    textOf(formatPowershell(sampleDeployment(changes), names));

  it('gives the settings to Set-AzVMExtension as JSON of printable ASCII', () => {
    const root = read(powershell, textFor({ settings: NASTY_SETTINGS, forceUpdateTag: "it's" }));
    const command = root
      .descendantsOfType('command')
      .find((node) => node?.text.startsWith('Set-AzVMExtension'));
    const words = command?.descendantsOfType(['command_parameter', 'verbatim_string_characters']) ?? [];
    const after = (name: string): Node | undefined =>
      words[words.findIndex((node) => node?.text === name) + 1] ?? undefined;
    expect(JSON.parse(verbatim(after('-SettingString')))).toEqual(NASTY_SETTINGS);
    expect(verbatim(after('-ForceRerun'))).toBe("it's");
    expect(command?.text).toMatch(/^[ -~\n]*$/);
    expect(command?.text).toContain('-EnableAutomaticUpgrade $false');
    expect(command?.text).not.toContain('-DisableAutoUpgradeMinorVersion');
  });

  it('is marked as UTF-8 where Windows PowerShell could take it for something else', () => {
    const text = (group: string): string =>
      textOf(formatPowershell(sampleDeployment({}), { group, target: 'web1' }));
    expect(text('b\u00fcro').startsWith('\ufeff# Sets')).toBe(true);
    expect(text('web')).toMatch(/^[\n -~]*$/);
  });

  it('reads protected settings from a file of mode 0600 or asks for them', () => {
    const files = formatPowershell(
      sampleDeployment({ protectedSettings: values, autoUpgradeMinorVersion: false }),
      names,
    );
    const text = textOf(files);
    read(powershell, text);
    expect(text).not.toContain('canary');
    expect(text).toContain('-ProtectedSettingString $protectedText');
    expect(text).toContain('Read-Host -AsSecureString');
    expect(text).toContain('-DisableAutoUpgradeMinorVersion');
    expect(files.filter((file) => file.isSecret).map(({ mode }) => mode)).toEqual([0o600]);
    const own = textFor({ protectedSettings: { ...values, file: "/it's/a.json" } });
    expect(own).toContain("= '/it''s/a.json'");
  });

  it('asks the REST interface for what its commands have no words for', () => {
    const text = textFor({
      target: scaleSet,
      settings: NASTY_SETTINGS,
      protectedSettings: values,
      suppressFailures: true,
    });
    const root = read(powershell, text);
    const payload = root
      .descendantsOfType('assignment_expression')
      .find((node) => node?.text.startsWith('$payload'));
    const [start, end] = payload?.descendantsOfType('verbatim_string_characters') ?? [];
    const body = `${verbatim(start ?? undefined)}${JSON.stringify(SECRET)}${verbatim(end ?? undefined)}`;
    expect(JSON.parse(body)).toMatchObject({
      properties: { settings: NASTY_SETTINGS, protectedSettings: SECRET, suppressFailures: true },
    });
    expect(text).toContain("ExtensionsTimeBudget = 'PT95M'");
  });

  it('ends with what the instance view says when the extension fails', () => {
    const text = textFor({ suppressFailures: true });
    const conditions = read(powershell, text)
      .descendantsOfType(['if_statement', 'do_statement'])
      .map((node) => node?.text ?? '');
    expect(conditions.find((one) => one.startsWith('do'))).toContain(
      "Greeter?api-version=2025-04-01&$expand=instanceView'",
    );
    const failure = conditions.find((one) => one.includes("provisioningState -ne 'Succeeded'"));
    expect(failure).toContain('$view.statuses');
    expect(failure).toContain('throw');
  });
});

describe('Terraform', () => {
  /** The parser gives texts as templates: with the escapes of template starts still in them. */
  function plain(value: unknown): unknown {
    if (typeof value === 'string') return value.replace(/\$\$\{|%%\{/g, (start) => start.slice(1));
    if (Array.isArray(value)) return value.map(plain);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [plain(key), plain(item)]));
  }

  const settingsOf = async (text: string): Promise<unknown> => {
    const { locals } = await parseHcl('main.tf', text);
    return plain(locals[0].settings);
  };

  it.each(NASTY_TEXTS)('keeps the text %j', async (text) => {
    expect(await settingsOf(`locals {\n  settings = ${quoteHcl(text)}\n}\n`)).toBe(text.normalize('NFC'));
    expect(quoteHcl(text)).toMatch(/^[ -~]*$/);
  });

  it('keeps the settings', async () => {
    expect(await settingsOf(`locals {\n  settings = ${hclLiteral(NASTY_SETTINGS)}\n}\n`)).toEqual(
      NASTY_SETTINGS,
    );
  });

  it('keeps characters that Terraform would compose', async () => {
    const settings = { decomposed: 'e\u0301 \u212b', '${x}': '%{y}' };
    const text = textOf(formatTerraform(sampleDeployment({ settings })));
    const { resource, locals } = await parseHcl('main.tf', text);
    const [{ settings: json }] = resource.azurerm_virtual_machine_extension.extension;
    expect(JSON.parse(String(plain(json)))).toEqual(settings);
    expect(locals).toBeUndefined();
  });

  it('waits as long as the extension may take, and keeps the secret in a sensitive variable', async () => {
    const files = formatTerraform(sampleDeployment({ protectedSettings: values, settings: { a: 1 } }));
    const text = textOf(files);
    expect(text).not.toContain('canary');
    const { resource, variable, data } = await parseHcl('main.tf', text);
    expect(resource.azurerm_virtual_machine_extension.extension[0]).toMatchObject({
      name: 'Greeter',
      virtual_machine_id: '${data.azurerm_virtual_machine.target.id}',
      type_handler_version: '1.0',
      auto_upgrade_minor_version: true,
      automatic_upgrade_enabled: false,
      failure_suppression_enabled: false,
      settings: '${jsonencode(local.settings)}',
      protected_settings: '${var.protected_settings}',
      timeouts: [{ create: '95m', update: '95m' }],
    });
    expect(variable.protected_settings[0]).toMatchObject({ sensitive: true });
    expect(data.azurerm_virtual_machine.target[0]).toEqual({ name: 'web1', resource_group_name: 'web' });
    const { provider } = await parseHcl('main.tf', text);
    expect(provider.azurerm[0]).toMatchObject({ subscription_id: '${var.subscription_id}' });
    // Without a value the provider looks into ARM_SUBSCRIPTION_ID by itself.
    expect(variable.subscription_id[0]).toMatchObject({ default: null });
    expect(text).toMatch(/^# .*\n# .*ARM_SUBSCRIPTION_ID.*terraform apply\n/);
    const secret = fileOf(files, 'protected.auto.tfvars.json');
    expect(secret).toMatchObject({ mode: 0o600, isSecret: true });
    expect(JSON.parse(JSON.parse(secret.text).protected_settings)).toEqual(SECRET);
  });

  it('sets a scale set, refers to a key vault and asks for an id that it is not told', async () => {
    const deployment = sampleDeployment({
      target: { kind: 'scale-set', name: undefined },
      protectedSettings: keyVault,
      provisionAfter: ['A', 'B'],
      forceUpdateTag: '2',
    });
    const { resource, variable } = await parseHcl('main.tf', textOf(formatTerraform(deployment)));
    expect(resource.azurerm_virtual_machine_scale_set_extension.extension[0]).toMatchObject({
      virtual_machine_scale_set_id: '${var.virtual_machine_scale_set_id}',
      provision_after_extensions: ['A', 'B'],
      force_update_tag: '2',
      protected_settings_from_key_vault: [
        { secret_url: keyVault.secretUrl, source_vault_id: keyVault.vaultId },
      ],
    });
    expect(variable).toHaveProperty('virtual_machine_scale_set_id');
  });

  it('refuses a force-update tag for a machine, which the provider has no word for', () => {
    expect(() => formatTerraform(sampleDeployment({ forceUpdateTag: '2' }))).toThrow('no force-update tag');
  });
});

describe('JSON text', () => {
  it('is printable ASCII on one line and means the same', () => {
    const text = asciiJson(NASTY_SETTINGS);
    expect(text).toMatch(/^[ -~]*$/);
    expect(JSON.parse(text)).toEqual(NASTY_SETTINGS);
  });
});
