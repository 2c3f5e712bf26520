// node compose.mjs NAME URL FILE ... : prints the supergraph.
import { readFileSync } from 'node:fs';
import { composeServices } from '@apollo/composition';
import { parse } from 'graphql';

const services = [];
for (let i = 2; i + 2 < process.argv.length; i += 3) {
  services.push({ name: process.argv[i], url: process.argv[i + 1], typeDefs: parse(readFileSync(process.argv[i + 2], 'utf8')) });
}
const { supergraphSdl, errors } = composeServices(services);
if (errors) {
  console.error(errors.map(String).join('\n'));
  process.exit(1);
}
process.stdout.write(supergraphSdl);
