/**
 * How root opens the files of a command's output while it runs. With `runAsUser` the folder is that user's, who may put something
 * else into their place: a link would show or upload a file that is root's alone, and a pipe would never open.
 */
import { constants } from 'node:fs';

export const OUTPUT_READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
