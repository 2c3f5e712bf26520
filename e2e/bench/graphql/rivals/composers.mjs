// node composers.mjs apollo|theguild SUBGRAPHS.json SECONDS: composes again and again for a while, and prints how often, the median and the CPU time of one, in ms.
import { readFileSync } from 'node:fs';
import { parse } from 'graphql';

const [composer, file, seconds] = process.argv.slice(2);
const subgraphs = JSON.parse(readFileSync(file, 'utf8'));
const { composeServices } = await import(composer === 'apollo' ? '@apollo/composition' : '@theguild/federation-composition');
const times = [];
const end = performance.now() + 1000 * Number(seconds);
const before = process.cpuUsage();
do {
  const at = performance.now();
  const result = composeServices(subgraphs.map(({ name, url, sdl }) => ({ name, url, typeDefs: parse(sdl) })));
  if (result.errors?.length) {
    console.error(result.errors.slice(0, 3).map(String).join('\n'));
    process.exit(1);
  }
  times.push(performance.now() - at);
} while (performance.now() < end);
const { user, system } = process.cpuUsage(before);
times.sort((a, b) => a - b);
console.log(times.length, times[times.length >> 1], (user + system) / 1000 / times.length);
