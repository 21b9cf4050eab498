/** What a new project is called, from the name of its folder. */
import { parseExtensionDescription } from '@handlerkit/sdk';

/** `my-greeter_2` gives the type `MyGreeter2`; `Extension` where nothing of the name can stand in a type. */
export function typeFromFolder(name: string): string {
  const words = name.normalize('NFKD').match(/[A-Za-z0-9]+/g) ?? [];
  const type = words.map((word) => word[0]?.toUpperCase() + word.slice(1)).join('');
  const named = type.replace(/^[0-9]+/, '').slice(0, LONGEST_TYPE);
  return named === '' ? 'Extension' : named[0]?.toUpperCase() + named.slice(1);
}

/** The npm package's name for a type: `MyGreeter` gives `my-greeter`. */
export function packageNameOf(type: string): string {
  return type
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1-$2')
    .replaceAll('.', '-')
    .toLowerCase();
}

/** Why `value` cannot be the `publisher` or `type` of an extension, in the words of `extension.json`'s parser; `undefined` when it can. */
export function whyNotNamed(key: 'publisher' | 'type', value: string): string | undefined {
  try {
    parseExtensionDescription({ publisher: 'Contoso', type: 'Sample', version: '1.0.0', [key]: value }, '');
    return undefined;
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message.replace(/^: /, '') : String(thrown);
  }
}

/** What a type is cut to; the agent and the folder names take more, but nobody reads it. */
const LONGEST_TYPE = 60;
