// Peers: all sessions, and one with its figures, reasons and faults.

import {ago, ask, facts, h, link, state, table, until} from '../dom.js';
import {asked, follow} from './live.js';

export const sessionState = (p) => p.disabled ? state('faint', 'disabled') : state(p.state === 'Established' ? 'good' : 'bad', p.state);

export function peers(root, {store}) {
  const body = h('div');
  root.append(h('h1', {}, 'Peers'), body);
  return follow(store, () => body.replaceChildren(table('Peers', [
    ['Peer', (p) => link(`peers/${p.node}`, p.node)], ['Organisation', (p) => p.external ? 'another' : 'ours'], ['Session', sessionState],
    ['Since', (p) => ago(p.since)], ['Received', (p) => String(p.received), 'n'], ['Rejected', (p) => String(p.rejected), 'n'],
    ['Stale', (p) => String(p.stale), 'n'], ['Advertised', (p) => String(p.advertised), 'n'], ['Waiting', (p) => String(p.pending), 'n'],
    ['Last error', (p) => p.lastError ? `${p.lastErrorByPeer ? 'it says: ' : ''}${p.lastError}` : ''],
  ], store.peers, 'None: catalyst peer add NODE makes one.')));
}

const one = `query ($node: String!) { peer(node: $node) { node external state addresses since nextDial holdTimeSeconds ingress received rejected stale
  advertised pending blocked updatesIn updatesOut sessions malformed endOfRib staleUntil lastError lastErrorByPeer notice client disabled maxRoutes
  rejections { name count } liveness heldUntil heldFor lastResortUntil wants faultCounts { name count }
  faults { at degree service attribute reason routes bytes } config { import export label maxRoutes maxBytes overLimit } } }`;

export function peer(root, {api, store, about}) {
  root.append(h('h1', {}, about));
  const shown = asked(root, api, one, {node: about}, ({peer: p}) => {
    if (!p) return h('p', {class: 'error'}, `${about} is no peer of this node. `, link('peers', 'All peers'));
    return [
      h('p', {}, sessionState(p), ` since ${ago(p.since)}`, p.lastError ? h('span', {class: 'warn'}, ` ${p.lastErrorByPeer ? 'It said: ' : ''}${p.lastError}`) : null),
      p.notice ? h('p', {}, state('warn', p.notice)) : null,
      p.heldUntil ? h('p', {}, state('warn', `Held down ${until(p.heldUntil)}: ${p.heldFor}`)) : null,
      facts('Routes and messages', [
        ['Addresses', p.addresses.join(', ') || 'it dials us'], ['Received, of these rejected', `${p.received}, ${p.rejected}`], ['Stale', `${p.stale}${p.staleUntil ? ` until ${p.staleUntil}` : ''}`],
        ['Advertised, waiting, kept back', `${p.advertised}, ${p.pending}, ${p.blocked}`], ['UPDATE messages in, out', `${p.updatesIn}, ${p.updatesOut}`],
        ['Sessions so far', String(p.sessions)], ['Hold time', `${p.holdTimeSeconds} s${p.liveness ? `, liveness ${p.liveness}` : ''}`],
        ['Its Envoys are reached at', p.ingress], ['Asks for', p.wants ? p.wants.join(', ') || 'nothing' : 'everything'],
        ['Limits', `${p.config.maxRoutes || 'default'} routes, ${p.config.maxBytes || 'default'} bytes, beyond: ${p.config.overLimit || 'block'}`],
      ]),
      h('h2', {}, 'Why routes were rejected'),
      table('Rejected, by reason, since it was configured', [['Reason', (r) => r.name], ['Routes', (r) => String(r.count), 'n']], p.rejections),
      h('h2', {}, 'Rules'),
      ...[['Import', p.config.import], ['Export', p.config.export]].map(([name, rule]) => rule ?
        h('div', {}, h('p', {}, name), h('pre', {tabindex: '0'}, JSON.stringify(JSON.parse(rule), null, 2))) : h('p', {class: 'faint'}, `${name}: no rule.`)),
      h('h2', {}, 'Departures from the protocol'),
      table('Newest faults', [['When', (f) => ago(f.at)], ['What became of it', (f) => f.degree], ['Attribute', (f) => f.attribute], ['Reason', (f) => f.reason],
        ['Routes', (f) => String(f.routes), 'n'], ['Bytes', (f) => h('code', {}, f.bytes)]], p.faults),
      h('p', {}, h('button', {onclick: async () => {
        if (await ask(`The session of ${store.self} with ${p.node} will be closed and made again. Its routes are kept meanwhile.`, 'Reset')) {
          try { await api.query('mutation ($node: String!) { resetPeer(node: $node) }', {node: about}); await shown.again(); } catch (e) { alert(e.message); }
        }
      }}, 'Reset session…')),
    ];
  });
  return shown.close;
}
