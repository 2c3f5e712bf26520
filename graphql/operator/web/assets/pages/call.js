// One call, as each node on its way remembers it; those of another organisation where both sides want it.

import {h, link, state, table} from '../dom.js';
import {asked} from './live.js';

const query = `query ($service: String!, $id: String!) { callParts(service: $service, id: $id) { complete
  nodes { node note seen { where ok took text more } } } }`;

export function call(root, {api, about}) {
  const [service, ...rest] = about.split('/');
  root.append(h('h1', {}, 'One call'), h('p', {}, 'Of ', link(`services/${service}`, service), ', as each node on its way remembers it.'));
  return asked(root, api, query, {service, id: rest.join('/')}, ({callParts: {nodes, complete}}) => {
    const rows = nodes.flatMap((n) => n.seen.length ? n.seen.map((s) => ({node: n.node, ...s})) : [{node: n.node, note: n.note}]);
    return [
      complete ? h('p', {}, state('good', 'Every node on its way remembers it.')) : h('p', {}, state('warn', 'Not every node on its way says what became of it.')),
      table('Nodes, the caller\'s first', [['Node', (r) => r.node], ['Seen at', (r) => r.where ?? ''],
        ['Took', (r) => r.note ? '' : `${r.took.toFixed(1)} ms`, 'n'],
        ['What', (r) => r.note ? h('span', {class: 'faint'}, r.note) : state(r.ok ? 'good' : 'bad', r.text)], ['More', (r) => r.more ?? '']], rows),
    ];
  }, 30000).close;
}
