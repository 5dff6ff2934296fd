// Serves ui/app as the app does: the same policy in the header, nothing else.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const UI = fileURLToPath(new URL('../../', import.meta.url));
const APP = join(UI, 'app');

/** The policy, as the app sends it. */
export const csp = (await readFile(join(UI, 'csp.txt'), 'utf8')).trim();

/** @type {Record<string, string>} */
const TYPES = { '.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript' };

/** On a port that is free. @returns {Promise<{ origin: string, stop: () => void }>} */
export function serve() {
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://localhost').pathname);
    const file = join(APP, path === '/' ? 'index.html' : path);
    const type = TYPES[extname(file)];
    try {
      if (!type || !file.startsWith(APP)) throw new Error('not served');
      const body = await readFile(file);
      response.writeHead(200, { 'content-type': `${type}; charset=utf-8`, 'content-security-policy': csp, 'cache-control': 'no-store' });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
      resolve({ origin: `http://127.0.0.1:${port}`, stop: () => (server.close(), server.closeAllConnections()) });
    });
  });
}
