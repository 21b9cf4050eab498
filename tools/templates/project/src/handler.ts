import { join } from 'node:path';
import { defineHandler, writeWholeFile } from '@handlerkit/sdk';
import * as z from 'zod';

export const handler = defineHandler({
  settings: {
    public: z.strictObject({ name: z.string().min(1).default('world') }),
    protected: z.strictObject({ password: z.string().optional() }),
  },
  async enable({ settings, host, dataFolder }) {
    const file = join(dataFolder, 'greeting.txt');
    const signed = settings.protected.password === undefined ? 'without' : 'with';
    writeWholeFile(host.path(file), `Hello, ${settings.public.name}, ${signed} a password.\n`);
    return { message: `Greeted ${settings.public.name} in ${file}` };
  },
});
