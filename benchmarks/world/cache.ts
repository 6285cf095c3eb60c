import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where prepared data is kept between runs. */
export function defaultCache(): string {
  const said = process.env['XDG_CACHE_HOME'];
  return join(said === undefined || said === '' ? join(homedir(), '.cache') : said, 'glovebox', 'bench');
}
