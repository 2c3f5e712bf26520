// Organisations: the peerings with others, what each side says of it, and what is wrong or will be.

import {ago, facts, h, link, state, table, until} from '../dom.js';
import {asked} from './live.js';

const terms = `{ take offer role maxRoutes tokens }`;
const query = `{ peerings { organisation since terms ${terms} theirs ${terms}
  nodes { node addresses state lastError received advertised }
  trust { state sequence pins tokenKeys by since checkedAt until refused refusedAt } bundleEndpoint { url profile } faults { kind severity text advice seenBy } }
  invitations { id with state expires } }`;

const names = (list) => list.join(', ') || 'nothing';

function sides(p) {
  const theirs = p.theirs;
  const row = (name, ours, of) => [name, h('span', {}, ours, h('span', {class: 'faint'}, theirs ? ` — they say: ${of}` : ' — they have not said theirs'))];
  return facts('Terms', [
    row('Taken of them', names(p.terms.take), theirs && `they offer ${names(theirs.offer)}`),
    row('Offered to them', names(p.terms.offer), theirs && `they take ${names(theirs.take)}`),
    row('They are to us', p.terms.role || 'no role', theirs && `we are to them ${theirs.role || 'no role'}`),
    ['Routes they may announce', String(p.terms.maxRoutes || 1000)],
    ['Their tokens are believed for', names(p.terms.tokens)],
  ]);
}

export function organisations(root, {api}) {
  root.append(h('h1', {}, 'Organisations'));
  return asked(root, api, query, {}, ({peerings, invitations}) => [
    peerings.length === 0 ? h('p', {class: 'faint'}, 'No peering with another organisation: catalyst peering offer --with ORGANISATION makes one.') : null,
    ...peerings.flatMap((p) => [
      h('h2', {}, p.organisation),
      p.faults.length === 0 ? h('p', {}, state('good', 'Nothing is wrong.')) :
        h('ul', {}, p.faults.map((f) => h('li', {}, state(f.severity === 'error' ? 'bad' : 'warn', f.kind), ` ${f.text}. ${f.advice}`, f.seenBy ? h('span', {class: 'faint'}, ` (seen by ${f.seenBy})`) : null))),
      sides(p),
      facts('Their bundle', [
        ['State', p.trust.state], ['Sequence', p.trust.sequence], ['Came by', `${p.trust.by}, ${ago(p.trust.since)}`],
        ['Last found newest', ago(p.trust.checkedAt) || 'not since this node started'], ['Roots end', p.trust.until ? until(p.trust.until) : ''],
        ['Not taken', p.trust.refused ? `${p.trust.refused}, ${ago(p.trust.refusedAt)}` : 'nothing'],
      ]),
      table(`Nodes of ${p.organisation}`, [['Node', (n) => link(`peers/${n.node}`, n.node)], ['Session', (n) => state(n.state === 'Established' ? 'good' : 'bad', n.state)],
        ['Received', (n) => String(n.received), 'n'], ['Advertised', (n) => String(n.advertised), 'n'], ['Last error', (n) => n.lastError]], p.nodes),
    ]),
    h('h2', {}, 'Invitations'),
    table('Invitations of this node', [['With', (i) => i.with], ['State', (i) => i.state], ['Until', (i) => i.state === 'open' ? until(i.expires) : '']], invitations),
  ]).close;
}
