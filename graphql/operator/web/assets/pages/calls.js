// Calls: those of a while ago, and each further one as it ends.

import {h, link, put, state, table} from '../dom.js';

const fields = `number at took seen service method path status grpcStatus flags reason outcome caller organisation way decision id`;
const recent = `query ($filter: CallFilter!) { calls(filter: $filter, first: 200) { ${fields} } }`;
const live = `subscription ($filter: CallFilter!) { tap(filter: $filter) { missed call { ${fields} } } }`;
const most = 200;
const kinds = {ok: 'good', denied: 'warn', failed: 'bad'};

/** short names nodes without their organisation, where all are of the same. */
function way(nodes) {
  const orgs = new Set(nodes.map((n) => n.split('/')[0]));
  return nodes.map((n) => orgs.size > 1 ? n : n.split('/')[1]).join(' → ');
}

const columns = [
  ['When', (c) => new Date(c.at).toLocaleTimeString(undefined,
    {hour12: false, hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3})],
  ['Took', (c) => `${c.took.toFixed(1)} ms`, 'n'],
  ['Outcome', (c) => state(kinds[c.outcome], c.outcome)],
  ['Status', (c) => `${c.status || '–'}${c.grpcStatus ? ` / gRPC ${c.grpcStatus}` : ''}`],
  ['Service', (c) => c.service ? link(`services/${c.service}`, c.service) : ''],
  ['What', (c) => `${c.method} ${c.path}`.trim() || 'a connection'],
  ['Way', (c) => c.id && c.service ? link(`calls/${c.service}/${c.id}`, way(c.way)) : way(c.way)],
  ['For', (c) => c.organisation],
  ['Why', (c) => c.outcome === 'denied' && c.decision ? link(`policy/${c.decision}`, 'why') :
    c.outcome === 'ok' ? '' : [...c.flags, c.reason].filter(Boolean).join(', ')],
];

export function calls(root, {api, query}) {
  const stop = new AbortController();
  const filter = {service: query.get('service') ?? '', from: query.get('from') ?? '', outcome: query.get('outcome') ?? ''};
  const body = h('div');
  const trouble = h('div');
  const form = h('form', {class: 'filter', onsubmit: (e) => {
    e.preventDefault();
    const chosen = [...new FormData(form)].filter(([, v]) => v.trim());
    location.hash = `#/calls?${new URLSearchParams(chosen)}`;
  }},
  h('label', {}, 'Service', h('input', {name: 'service', value: filter.service, placeholder: 'books, or *.acme.example'})),
  h('label', {}, 'From', h('input', {name: 'from', value: filter.from, placeholder: 'bravo.example'})),
  h('label', {}, 'Outcome', h('select', {name: 'outcome'}, [['', 'any'], ['ok', 'ok'], ['denied', 'denied'], ['failed', 'failed']].map(
    ([value, text]) => h('option', {value, selected: value === filter.outcome}, text)))),
  h('button', {}, 'Show'));
  root.append(h('h1', {}, 'Calls'), form, trouble, body);

  let shown = [];
  let missed = 0;
  let drawing = false;
  function draw() {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      put(body, missed ? h('p', {class: 'faint'}, `${missed} calls ended faster than they could be shown.`) : null,
        table('Calls, newest first', columns, shown, 'None yet.'));
    });
  }
  async function run() {
    try {
      shown = (await api.query(recent, {filter}, stop.signal)).calls;
      draw();
      await api.subscribe(live, {filter}, stop.signal, ({tap: t}) => {
        missed += t.missed;
        if (shown.some((c) => c.number === t.call.number)) return;
        shown.unshift(t.call);
        shown.length = Math.min(shown.length, most);
        draw();
      });
    } catch (error) {
      if (!stop.signal.aborted) put(trouble, h('p', {class: 'error', role: 'alert'}, error.message));
    }
  }
  run();
  return () => stop.abort();
}
