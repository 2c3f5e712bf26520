// The graph of the gateway: its subgraphs, what was left out and why, how operations would be carried out.

import {ago, ask, h, state, table} from '../dom.js';
import {asked} from './live.js';

const query = `{ graph { endpoint apiSchema subgraphs { name host status kind fetchedAt fetchError errors { code message coordinate } }
  history(first: 10) { at milliseconds why subgraphs error excluded { subgraph errors { code message } } changes { severity coordinate text } } } }`;

export function graph(root, {api}) {
  root.append(h('h1', {}, 'Graph'));
  const operation = h('textarea', {rows: 6, cols: 60, spellcheck: 'false', 'aria-label': 'Operation'});
  const plan = h('pre', {tabindex: '0', hidden: true, 'aria-label': 'Plan'});
  const shown = asked(root, api, query, {}, ({graph: g}) => {
    if (!g) return h('p', {class: 'faint'}, 'This node runs no gateway (gateway.listen).');
    return [
      h('p', {}, 'Operations are sent to ', h('code', {}, g.endpoint), '. ', h('button', {onclick: async () => {
        if (await ask('Every subgraph will be asked for its schema now.', 'Ask')) {
          try { await api.query('mutation { refreshGraph }'); await shown.again(); } catch (e) { alert(e.message); }
        }
      }}, 'Ask subgraphs again…')),
      table('Subgraphs', [['Name', (s) => s.name], ['Status', (s) => state(s.status === 'serving' ? 'good' : s.status === 'excluded' ? 'bad' : 'warn', s.status)],
        ['Schema by', (s) => s.kind], ['Fetched', (s) => ago(s.fetchedAt)], ['Trouble', (s) => [s.fetchError, ...s.errors.map((e) => `${e.code}: ${e.message}`)].filter(Boolean).join(' ')]],
        g.subgraphs, 'None: offer a service with --protocol graphql.'),
      h('h2', {}, 'Compositions'),
      table('Compositions, newest first', [['When', (c) => ago(c.at)], ['Why', (c) => c.why], ['Took', (c) => `${c.milliseconds.toFixed(1)} ms`, 'n'],
        ['Result', (c) => c.error ? state('bad', c.error) : c.excluded.length ? state('warn', `without ${c.excluded.map((x) => x.subgraph).join(', ')}`) : state('good', `${c.subgraphs.length} subgraphs`)],
        ['Changes', (c) => c.changes.map((x) => `${x.severity}: ${x.text}`).join('; ')]], g.history),
      h('details', {}, h('summary', {}, 'Schema as clients see it'), h('pre', {tabindex: '0'}, g.apiSchema)),
    ];
  }, 5000);
  root.append(h('h2', {}, 'Plan of an operation'), operation, h('p', {}, h('button', {onclick: async () => {
    plan.hidden = false;
    try { plan.textContent = (await api.query('query ($q: String!) { plan(query: $q) }', {q: operation.value})).plan; } catch (e) { plan.textContent = e.message; }
  }}, 'Plan')), plan);
  return shown.close;
}
