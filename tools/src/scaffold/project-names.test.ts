import { describe, expect, it } from 'vitest';
import { packageNameOf, typeFromFolder, whyNotNamed } from './project-names.ts';

describe('the type from the name of a folder', () => {
  it.each([
    ['greeter', 'Greeter', 'one word'],
    ['my-greeter_2', 'MyGreeter2', 'words, whatever stands between them'],
    ['MyGreeter', 'MyGreeter', 'capitals stay'],
    ['2fast', 'Fast', 'a type begins with a letter'],
    ['größe', 'GroE', 'letters that the platform does not take are left out'],
    ['...', 'Extension', 'nothing is left'],
    ['123', 'Extension', 'no letter'],
    ['x'.repeat(200), `X${'x'.repeat(59)}`, 'too long for a name'],
  ])('%s gives %s: %s', (folder, type) => {
    const made = typeFromFolder(folder);
    expect(whyNotNamed('type', made)).toBeUndefined();
    expect(made).toBe(type);
  });
});

it.each([
  ['MyGreeter', 'my-greeter'],
  ['Greeter', 'greeter'],
  ['VM2Access', 'vm2-access'],
  ['A.B', 'a-b'],
])('the npm package of %s is %s', (type, name) => {
  expect(packageNameOf(type)).toBe(name);
});

it.each([
  ['publisher', 'Contoso-Samples'],
  ['publisher', ''],
  ['type', 'My Greeter'],
  ['type', '9Lives'],
] as const)('says why the %s cannot be %j', (key, value) => {
  expect(whyNotNamed(key, value)).toMatch(new RegExp(`^${key} `));
});
