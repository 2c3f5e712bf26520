// Tokens and keys: by what this node is known, by what it knows others, and whose tokens it believes.

import {ago, facts, h, moment, state, table, until} from '../dom.js';
import {asked} from './live.js';

const query = `{ credentials { certificate { name serial sha256 from until signedBy key }
  membership { service renewAt error alarm returns } validities { of organisation from until warning }
  issuers { issuer organisation keys { id algorithm } revocations heard problem refused disbelieved } }
  attestations { organisation serial notAfter key keys entries active } }`;

const names = {svid: 'Certificate of this node', ca: 'CA that signed it', bundle: 'Roots'};
const code = (text) => h('code', {}, text);

function membership(m) {
  if (!m) return h('p', {class: 'faint'}, 'The certificate was issued by hand, and nobody renews it: catalyst org issue-node issues the next.');
  return facts('Membership', [
    ['Identity service', m.service], ['Next certificate', until(m.renewAt)],
    ['Renewing', m.error ? state('bad', m.error) : state('good', 'went well')],
    ['Suspicion of a copy', m.alarm ? state('bad', m.alarm) : 'none'],
    ['May come back after its end', m.returns === 1 ? 'once' : `${m.returns} times`],
  ]);
}

function issuer(i) {
  const standing = i.disbelieved ? state('warn', `not believed: ${i.disbelieved}`) : i.refused ? state('bad', `${i.refused} is refused`) :
    i.keys.length === 0 ? state('bad', 'no key is known yet') : state('good', 'believed');
  return [
    h('h3', {}, i.organisation || i.issuer),
    facts(`Issuer ${i.issuer}`, [
      ['Its tokens', standing],
      ['Revocations', i.organisation ? `${i.revocations} remembered, ${i.heard ? `heard of ${ago(i.heard)}` : 'never heard of'}` : 'it tells of none'],
      ...(i.problem ? [['They do not come', state('bad', i.problem)]] : []),
    ]),
    table(`Keys of ${i.issuer}`, [['Key', (k) => code(k.id)], ['Algorithm', (k) => k.algorithm]], i.keys),
  ];
}

export function keys(root, {api}) {
  root.append(h('h1', {}, 'Tokens and keys'));
  return asked(root, api, query, {}, ({credentials: c, attestations}) => [
    h('h2', {}, 'This node'),
    facts('Certificate', [
      ['Name', c.certificate.name], ['Ends', `${moment(c.certificate.until)} (${until(c.certificate.until)})`], ['Since', moment(c.certificate.from)],
      ['Key', c.certificate.key], ['Signed by', c.certificate.signedBy], ['Serial number', code(c.certificate.serial)], ['SHA-256', code(c.certificate.sha256)],
    ]),
    membership(c.membership),
    h('h2', {}, 'What ends'),
    table('Certificates and roots', [['What', (v) => names[v.of] ?? v.of], ['Organisation', (v) => v.organisation],
      ['Ends', (v) => state(v.warning ? 'warn' : 'good', until(v.until))], ['Until', (v) => moment(v.until)], ['To do', (v) => v.warning]], c.validities),
    h('h2', {}, 'Whose tokens are believed'),
    ...(c.issuers.length === 0 ? [h('p', {class: 'faint'}, 'This node looks at no tokens: no issuer is configured, and it joined no organisation.')] : c.issuers.flatMap(issuer)),
    h('p', {class: 'faint'}, 'Which tokens an organisation issued, and to whom, its identity service says: catalyst token list.'),
    h('h2', {}, 'Who signs what is offered'),
    table('Attestations', [['Organisation', (a) => a.organisation], ['Serial', (a) => String(a.serial), 'n'], ['Names', (a) => String(a.entries), 'n'],
      ['Counts', (a) => a.active ? state('good', 'yes') : state('warn', 'no')], ['Until', (a) => a.notAfter ? until(a.notAfter) : ''],
      ['Keys', (a) => a.keys.map(code)]], attestations, 'None: no organisation says by signature who may offer its names.'),
  ]).close;
}
