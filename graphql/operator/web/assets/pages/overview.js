// The node at a glance: what serves, what is missing, what ends soon, and what its sessions did last.

import {ago, ask, facts, figures, h, link, moment, put, state, table, until} from '../dom.js';
import {follow} from './live.js';

export function overview(root, {api, store}) {
  const body = h('div');
  root.append(h('h1', {}, 'Overview'), body);
  return follow(store, () => {
    const {node: n, peers} = store;
    if (!n) return put(body, h('p', {class: 'faint'}, 'Asking the node.'));
    const down = peers.filter((p) => p.state !== 'Established' && !p.disabled);
    const troubled = [...store.services.values()].filter((r) => r.problem || r.health === 'down').length;
    const notes = [...n.missing.map((t) => ['bad', t]), ...n.warnings.map((t) => ['warn', t]),
      ...(n.identityError ? [['bad', n.identityError]] : []),
      ...down.map((p) => ['bad', `No session with ${p.node}${p.lastError ? `: ${p.lastError}` : ''}.`])];
    put(body,
      figures(['services', store.services.size], ['with trouble', troubled, troubled ? 'bad' : null],
        ['sessions', `${peers.length - down.length} of ${peers.length}`, down.length ? 'bad' : null],
        ['Envoy', n.envoyReady ? 'ready' : 'not ready', n.envoyReady ? 'good' : 'bad']),
      h('h2', {}, 'To look at'),
      notes.length === 0 ? h('p', {}, state('good', 'Nothing: the node serves, all its peers are there.')) :
        h('ul', {}, notes.map(([kind, text]) => h('li', {}, state(kind, text)))),
      h('h2', {}, 'Node'),
      facts('What it is', [
        ['Name', store.self], ['Version', n.version], ['Running since', `${moment(n.startedAt)} (${ago(n.startedAt)})`],
        ['Certificate ends', `${moment(n.certificateExpiresAt)} (${until(n.certificateExpiresAt)})`],
        ['Paths in the table', String(n.paths)], ['Peers reach it at', n.peeringAddress],
        ['Envoy: mesh, applications', `${n.ingressAddress}, ${n.egressAddress}`],
        ['Draining', n.draining ? 'yes: peers are asked to prefer other paths' : 'no'],
      ]),
      h('p', {}, h('button', {onclick: async () => {
        const on = !n.draining;
        const what = on ? `Peers of ${store.self} will be asked to prefer other paths, so that traffic moves away from it.` :
          `Peers of ${store.self} will use its paths again.`;
        if (await ask(what, on ? 'Drain' : 'End draining')) {
          try { await api.query('mutation ($on: Boolean!) { drain(on: $on) }', {on}); await store.refresh(); } catch (e) { alert(e.message); }
        }
      }}, n.draining ? 'End draining…' : 'Drain…')),
      h('h2', {}, 'Sessions, newest first'),
      table('What sessions did since this page was opened', [['When', (r) => ago(r.at)], ['Peer', (r) => link(`peers/${r.peer}`, r.peer)],
        ['Now', (r) => state(r.to === 'Established' ? 'good' : 'warn', r.to)], ['Why', (r) => r.reason]], store.sessions),
      store.behind > 0 ? h('p', {class: 'faint'}, `${store.behind} states were replaced by newer ones before this page could take them.`) : null,
    );
  });
}
