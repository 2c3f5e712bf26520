// Runs every server audit of graphql-http against the URL given, and prints one JSON object a line: id, name, status, reason.
import { auditServer } from 'graphql-http';

for (const r of await auditServer({ url: process.argv[2] })) {
  console.log(JSON.stringify({ id: r.id, name: r.name, status: r.status, reason: r.status === 'ok' ? '' : r.reason }));
}
