import { describe, expect, it } from 'vitest';
import {
  findManifestFault,
  formatHandlerManifest,
  parseHandlerManifest,
  UPDATE_WITHOUT_INSTALL,
} from './handler-manifest.ts';
import { ContractError } from './json.ts';

const COMMANDS = {
  installCommand: 'bin/handler install',
  enableCommand: 'bin/handler enable',
  disableCommand: 'bin/handler disable',
  updateCommand: 'bin/handler update',
  uninstallCommand: 'bin/handler uninstall',
};
const parse = (handlerManifest: unknown, more: object = {}) =>
  parseHandlerManifest(
    JSON.stringify([{ name: 'N', version: 1.0, handlerManifest, ...more }]),
    'HandlerManifest.json',
  );

describe('parseHandlerManifest', () => {
  it.each([
    [true, true, undefined],
    [false, false, undefined],
    ['true', true, 'true'],
    ['True', true, 'True'],
    ['TRUE', true, 'TRUE'],
    ['false', false, 'false'],
    ['yes', false, 'yes'],
    ['', false, ''],
    [' true', false, ' true'],
    [1, false, '1'],
    [0, false, '0'],
    [null, false, 'None'],
    [[true], false, '[True]'],
    [{ a: 'b' }, false, "{'a': 'b'}"],
  ])('takes the boolean %j for %s', (value, expected, shown) => {
    for (const key of ['reportHeartbeat', 'continueOnUpdateFailure', 'supportsMultipleExtensions'] as const) {
      const manifest = parse({ ...COMMANDS, [key]: value });
      expect(manifest[key]).toBe(expected);
      expect(manifest.nonBooleanKeys).toEqual(shown === undefined ? [] : [key]);
      expect(manifest.nonBooleanWarnings).toEqual(
        shown === undefined
          ? []
          : [
              `In the handler manifest: '${key}' has a non-boolean value [${shown}] for boolean type. Please change it to a boolean value.`,
            ],
      );
    }
  });

  it('takes missing booleans for false, without a warning', () => {
    expect(parse(COMMANDS)).toMatchObject({
      reportHeartbeat: false,
      continueOnUpdateFailure: false,
      supportsMultipleExtensions: false,
      nonBooleanKeys: [],
      cpuQuotaPercentage: undefined,
    });
  });

  it.each([
    [undefined, true],
    [null, true],
    ['UpdateWithInstall', true],
    ['updatewithinstall', true],
    [UPDATE_WITHOUT_INSTALL, false],
    ['', false],
    ['anything', false],
  ])('takes the update mode %j for "install is run on update": %s', (updateMode, expected) => {
    expect(parse({ ...COMMANDS, updateMode }).installOnUpdate).toBe(expected);
  });

  it.each<[unknown, string | undefined, string | undefined, string]>([
    [undefined, undefined, "'updateCommand'", 'missing'],
    [null, undefined, "'NoneType' object has no attribute 'lstrip'", 'null'],
    [5, undefined, "'int' object has no attribute 'lstrip'", 'a number'],
    [1.5, undefined, "'float' object has no attribute 'lstrip'", 'a fraction'],
    [true, undefined, "'bool' object has no attribute 'lstrip'", 'a boolean'],
    [['a'], undefined, "'list' object has no attribute 'lstrip'", 'an array'],
    [{}, undefined, "'dict' object has no attribute 'lstrip'", 'an object'],
    ['', '', undefined, 'an empty text, which the shell refuses'],
    ['/bin/x', '/bin/x', undefined, 'a text'],
  ])('a command that is %j costs only its own operation (%s)', (updateCommand, command, fault) => {
    const manifest = parse({ ...COMMANDS, updateCommand });
    expect(manifest.commands.update).toBe(command);
    expect(manifest.commandFaults.update).toBe(fault);
    expect(manifest.commands.enable).toBe(COMMANDS.enableCommand);
    expect(manifest.commandFaults.enable).toBeUndefined();
  });

  it('reads the first element only, skips a byte order mark, and takes the CPU quota from beside the manifest', () => {
    const text = JSON.stringify([
      { handlerManifest: COMMANDS, resourceLimits: { cpuQuotaPercentage: 25, services: [] } },
      { handlerManifest: null },
    ]);
    const manifest = parseHandlerManifest(`\uFEFF${text}`, 'f');
    expect(manifest.cpuQuotaPercentage).toBe(25);
    expect(manifest.commands.install).toBe('bin/handler install');
  });

  it.each([
    ['', 'is empty'],
    ['[{', 'is not valid JSON'],
    [JSON.stringify({ handlerManifest: COMMANDS }), 'must be an array, but is an object'],
    ['[]', 'must be an array with one element'],
    ['[null]', '[0] must be an object, but is null'],
    ['[{}]', '[0].handlerManifest is missing; it must be an object'],
    ['[{"handlerManifest":null}]', '[0].handlerManifest must be an object, but is null'],
    ['[{"handlerManifest":[]}]', '[0].handlerManifest must be an object, but is an array'],
  ])('refuses %s: %s', (text, problem) => {
    const run = () => parseHandlerManifest(text, 'HandlerManifest.json');
    expect(run).toThrow(ContractError);
    expect(run).toThrow(`HandlerManifest.json: ${problem}`);
  });
});

describe('what the agent says of a manifest that is none', () => {
  it.each<[unknown, string, boolean]>([
    [{}, '0', false],
    [null, "'NoneType' object is not subscriptable", false],
    [7, "'int' object is not subscriptable", false],
    ['', 'string index out of range', false],
    ['text', "string indices must be integers, not 'str'", false],
    [[], 'list index out of range', false],
    [[null], 'Malformed manifest file.', true],
    [['text'], "string indices must be integers, not 'str'", false],
    [[[]], 'list indices must be integers or slices, not str', false],
    [[true], "'bool' object is not subscriptable", false],
    [[{}], "'handlerManifest'", false],
    [[{ handlerManifest: null }], 'Malformed manifest file.', true],
    [[{ handlerManifest: [] }], "'list' object has no attribute 'get'", false],
  ])('of %j it is %s', (root, text, isExtensionError) => {
    expect(findManifestFault(root)).toEqual({ text, isExtensionError });
    expect(() => parseHandlerManifest(JSON.stringify(root), 'f')).toThrow(ContractError);
  });

  it('is nothing of one that it can read', () => {
    expect(findManifestFault([{ handlerManifest: {} }])).toBeUndefined();
  });

  it('is, of an update mode that is no text, a fault of the update only', () => {
    expect(parse({ ...COMMANDS, updateMode: 1 }).updateModeFault).toBe(
      "'int' object has no attribute 'lower'",
    );
    for (const updateMode of [undefined, null, 'x']) {
      expect(parse({ ...COMMANDS, updateMode }).updateModeFault).toBeUndefined();
    }
  });
});

describe('the resource limits of a manifest', () => {
  it('are read with their services, and what has another type is left out', () => {
    const limits = (resourceLimits: unknown) => parse(COMMANDS, { resourceLimits }).resourceLimits;
    expect(
      limits({
        cpuQuotaPercentage: 25,
        memoryQuotaInMB: 100,
        services: [{ name: 'a.service', cpuQuotaPercentage: 5, x: 1 }, { name: 'b.service' }, {}, 7],
      }),
    ).toEqual({
      cpuQuotaPercentage: 25,
      memoryQuotaInMB: 100,
      services: [
        { name: 'a.service', cpuQuotaPercentage: 5 },
        { name: 'b.service', cpuQuotaPercentage: undefined },
      ],
    });
    expect(limits({ cpuQuotaPercentage: 'x', services: {} })).toEqual({ services: [] });
    for (const none of [undefined, null, [], 'x']) expect(limits(none)).toBeUndefined();
  });
});

describe('formatHandlerManifest', () => {
  it('gives a manifest that the agent reads as it was meant, without a warning', () => {
    const commands = { install: 'a', enable: 'b', disable: 'c', update: 'd', uninstall: 'e' };
    const text = formatHandlerManifest({
      name: 'Greeter',
      version: '1.2.3',
      commands,
      updateMode: UPDATE_WITHOUT_INSTALL,
      reportHeartbeat: true,
      continueOnUpdateFailure: false,
      supportsMultipleExtensions: true,
      supportsPolicy: false,
      rebootAfterInstall: false,
    });
    expect(parseHandlerManifest(text, 'f')).toMatchObject({
      commands,
      installOnUpdate: false,
      reportHeartbeat: true,
      continueOnUpdateFailure: false,
      supportsMultipleExtensions: true,
      nonBooleanKeys: [],
    });
    expect(Object.keys(JSON.parse(text)[0].handlerManifest)).toHaveLength(11);
  });
});
