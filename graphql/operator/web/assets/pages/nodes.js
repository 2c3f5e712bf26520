// Nodes: every node of the organisation at a glance, each as it says itself, asked through the mesh.

import {ago, figures, h, put, state, table, until} from '../dom.js';
import {asked} from './live.js';

const query = `{ meshNodes { id error version startedAt routes draining envoyReady certificateExpiresAt missing warnings
  peers { remote { id } state lastError } services { name } } }`;

const short = (id) => id.slice(id.indexOf('/') + 1);
const down = (n) => n.peers.filter((p) => p.state !== 'Established');

/** troubles is what wants a look at a node, as [kind, text]. */
function troubles(n) {
  if (n.error) return [['bad', `It does not answer: ${n.error}`]];
  return [...n.missing.map((text) => ['bad', text]), ...n.warnings.map((text) => ['warn', text]),
    ...(n.envoyReady ? [] : [['bad', 'Its Envoy is not ready.']]),
    ...down(n).map((p) => ['bad', `No session with ${p.remote.id}${p.lastError ? `: ${p.lastError}` : ''}.`])];
}

/** standing is a node's state in a word. */
function standing(n) {
  if (n.error) return state('bad', 'no answer');
  if (n.draining) return state('warn', 'draining');
  const found = troubles(n);
  return found.some(([kind]) => kind === 'bad') ? state('bad', 'trouble') : found.length ? state('warn', 'to look at') : state('good', 'well');
}

/** absent are nodes of the same organisation that nobody reaches, but that others want to peer with. */
function absent(all) {
  const lost = new Map();
  for (const n of all) {
    for (const p of n.error ? [] : down(n)) {
      const id = p.remote.id;
      if (id.split('/')[0] === n.id.split('/')[0] && !all.some((other) => other.id === id)) {
        lost.set(id, [...lost.get(id) ?? [], n.id]);
      }
    }
  }
  return [...lost].map(([id, by]) => ({id, error: `no way to it; ${by.join(', ')} has no session with it.`}));
}

export function nodes(root, {api}) {
  const when = h('p', {class: 'faint'});
  root.append(h('h1', {}, 'Nodes'), when);
  return asked(root, api.mesh, query, {}, ({meshNodes}) => {
    const all = [...meshNodes, ...absent(meshNodes)].sort((a, b) => a.id.localeCompare(b.id));
    put(when, `As each said at ${new Date().toISOString().slice(11, 19)} UTC.`);
    const there = all.filter((n) => !n.error);
    const wrong = all.filter((n) => troubles(n).length > 0);
    const sessions = there.flatMap((n) => n.peers);
    const lost = sessions.filter((p) => p.state !== 'Established');
    const value = (get, other = '') => (n) => n.error ? other : get(n);
    return [
      figures(['nodes', all.length], ['that do not answer', all.length - there.length, all.length > there.length ? 'bad' : null],
        ['sessions, as each end sees them', `${sessions.length - lost.length} of ${sessions.length}`, lost.length ? 'bad' : null],
        ['services offered', new Set(there.flatMap((n) => n.services.map((s) => s.name))).size]),
      h('h2', {}, 'To look at'),
      wrong.length === 0 ? h('p', {}, state('good', 'Nothing: every node answers, serves and has its sessions.')) : null,
      ...wrong.map((n) => h('section', {'aria-label': n.id}, h('h3', {}, n.id),
        h('ul', {}, troubles(n).map(([kind, text]) => h('li', {}, state(kind, text)))))),
      h('h2', {}, 'All of them'),
      table('Nodes of the organisation', [['Node', (n) => short(n.id)], ['State', standing],
        ['Sessions', value((n) => `${n.peers.length - down(n).length} of ${n.peers.length}`), 'n'],
        ['Offers', value((n) => String(n.services.length)), 'n'], ['Knows', value((n) => String(n.routes)), 'n'],
        ['Envoy', value((n) => n.envoyReady ? 'ready' : state('bad', 'not ready'))],
        ['Certificate ends', value((n) => until(n.certificateExpiresAt))], ['Running', value((n) => ago(n.startedAt))],
        ['Version', value((n) => n.version)]], all),
    ];
  }, 5000).close;
}
