// Services: all of them in a list that draws only what is in sight, and one with every path and why.

import {ago, h, link, put, state, table} from '../dom.js';
import {follow} from './live.js';

const height = 32; // pixels of a row, as in style.css

/** pathOf is the chain of nodes of the path that carries traffic. */
export function pathOf(route) {
  const best = route.paths.find((p) => p.tier === 0) ?? route.paths[0];
  if (!best) return [];
  return best.local ? [] : best.nodePath;
}

export function condition(route) {
  if (route.problem) return ['bad', 'refused'];
  if (!route.paths.some((p) => p.tier === 0)) return ['bad', 'no path'];
  if (route.paths.filter((p) => p.tier === 0).every((p) => p.stale)) return ['warn', 'stale'];
  return {up: ['good', 'up'], down: ['bad', 'down'], draining: ['warn', 'draining']}[route.health] ?? ['faint', 'not checked'];
}

export function services(root, {store, query}) {
  const field = h('input', {type: 'search', value: query.get('q') ?? '', autocomplete: 'off', spellcheck: 'false'});
  const only = h('select', {}, ['all', 'with trouble', 'of this node', 'from peers'].map((t) =>
    h('option', {selected: t === query.get('only') || null}, t)));
  const count = h('p', {role: 'status', class: 'faint'});
  const head = h('thead', {}, h('tr', {}, ['Service', 'Protocol', 'Condition', 'Path', 'Port'].map((t) => h('th', {scope: 'col'}, t))));
  const rows = h('tbody');
  const frame = h('div', {class: 'window', tabindex: '0', role: 'region', 'aria-label': 'Services'},
    h('table', {'aria-label': 'Services'}, head, rows));
  root.append(h('h1', {}, 'Services'),
    h('form', {role: 'search', onsubmit: (e) => e.preventDefault()}, h('label', {}, 'Name contains', field), h('label', {}, 'Show', only)),
    count, frame);

  let found = [];
  function search() {
    const text = field.value.trim().toLowerCase();
    found = store.names().filter((name) => {
      if (text && !name.includes(text)) return false;
      const r = store.services.get(name);
      switch (only.value) {
        case 'with trouble': return ['bad', 'warn'].includes(condition(r)[0]);
        case 'of this node': return r.paths.some((p) => p.local);
        case 'from peers': return r.paths.some((p) => !p.local);
        default: return true;
      }
    });
    count.textContent = `${found.length} of ${store.services.size} services`;
    frame.firstChild.setAttribute('aria-rowcount', found.length + 1);
    draw();
  }
  function draw() {
    const first = Math.max(0, Math.floor(frame.scrollTop / height) - 10);
    const last = Math.min(found.length, first + Math.ceil(frame.clientHeight / height) + 20);
    const gap = (n) => h('tr', {class: 'gap', 'aria-hidden': 'true'}, h("td", {colspan: 5}, spacer(n * height)));
    rows.replaceChildren(gap(first), ...found.slice(first, last).map((name, i) => row(name, first + i)), gap(found.length - last));
  }
  function row(name, index) {
    const r = store.services.get(name);
    const [kind, text] = condition(r);
    const path = pathOf(r);
    return h('tr', {'aria-rowindex': index + 2}, h('td', {}, link(`services/${name}`, name)), h('td', {}, r.protocol),
      h('td', {}, state(kind, text)), h('td', {title: path.join(' › ')}, path.length ? path.join(' › ') : 'this node'),
      h('td', {class: 'n'}, r.port ? String(r.port) : ''));
  }
  const keep = () => {
    const q = new URLSearchParams();
    if (field.value) q.set('q', field.value);
    if (only.value !== 'all') q.set('only', only.value);
    history.replaceState(null, '', `#/services${q.size ? `?${q}` : ''}`);
    frame.scrollTop = 0;
    search();
  };
  field.addEventListener('input', keep);
  only.addEventListener('change', keep);
  frame.addEventListener('scroll', () => requestAnimationFrame(draw));
  // A list of many names is searched anew at most five times a second.
  let timer = null;
  const end = follow(store, () => { timer ??= setTimeout(() => { timer = null; search(); }, store.services.size > 5000 ? 200 : 20); });
  search();
  return () => { end(); clearTimeout(timer); };
}

/** spacer takes up the room of the rows that are not drawn. A style sheet may not be written into the page: its policy forbids it. */
function spacer(pixels) {
  const box = document.createElement('div');
  box.style.height = `${pixels}px`;
  return box;
}

const explanation = `query ($service: String!) { explain(service: $service) { service verdict goneSince nearest hints
  down { node state lastError } told { peer state why term }
  route { protocol port problem health healthSince healthError reports { node kind text since via }
    paths { peer local nodePath origin nextHop tier localPref med weight health region tags communities stale staleUntil rejected decidedBy importTerm }
    envoys { node resource version sent acknowledged acknowledgedAt error refusedAt } } } }`;

const walk = `query ($service: String!) { trace(service: $service) { ok complete millis broken { node step text advice }
  hops { node note steps { name state text advice millis } } } }`;

export function service(root, {api, store, about}) {
  const body = h('div');
  const traced = h('div', {'aria-live': 'polite'});
  root.append(h('h1', {}, about), body, h('h2', {}, 'Trace'),
    h('p', {}, h('button', {onclick: () => trace()}, 'Trace a call from here'), ' ',
      h('span', {class: 'faint'}, 'asks every node on the way to the workload what it knows of the service.')), traced);
  async function load() {
    try {
      const {explain: e} = await api.query(explanation, {service: about});
      put(body, detail(e));
    } catch (error) {
      body.replaceChildren(h('p', {class: 'error', role: 'alert'}, error.message));
    }
  }
  async function trace() {
    traced.replaceChildren(h('p', {class: 'faint'}, 'Walking.'));
    try {
      const {trace: t} = await api.query(walk, {service: about});
      traced.replaceChildren(...steps(t));
    } catch (error) {
      traced.replaceChildren(h('p', {class: 'error', role: 'alert'}, error.message));
    }
  }
  let before;
  return follow(store, () => {
    const now = store.services.get(about);
    if (now !== before || before === undefined) { before = now ?? null; load(); }
  });
}

function detail(e) {
  const r = e.route;
  const parts = [h('p', {}, e.verdict ? state('bad', e.verdict) : state('good', 'Nothing is the matter.'))];
  if (!r) {
    return [...parts, e.goneSince && h('p', {}, `The last route to it went away ${ago(e.goneSince)}.`),
      e.hints.length > 0 && h('ul', {}, e.hints.map((t) => h('li', {}, t))),
      e.nearest.length > 0 && h('p', {}, 'Known names like it: ', ...e.nearest.map((n) => [link(`services/${n}`, n), ' '])),
      table('Peers without a session, any of which might announce it', [['Peer', (p) => link(`peers/${p.node}`, p.node)], ['State', (p) => p.state],
        ['Last error', (p) => p.lastError]], e.down)].filter(Boolean);
  }
  return [...parts,
    h('p', {}, `${r.protocol}${r.port ? `, TCP port ${r.port} on loopback` : ''}, workload ${r.health}${r.healthError ? ` (${r.healthError})` : ''}. `,
      link(`map?service=${e.service}`, 'On the map')),
    table('Paths, the best first', [
      ['Use', (p) => p.rejected ? state('bad', 'rejected') : p.tier === 0 ? state('good', 'carries traffic') : p.tier > 0 ? `backup ${p.tier}` : 'not used'],
      ['From', (p) => p.local ? 'this node' : link(`peers/${p.peer}`, p.peer)], ['Nodes', (p) => p.nodePath.join(' › ')],
      ['Next hop', (p) => p.nextHop], ['Health', (p) => p.health], ['Preference', (p) => String(p.localPref), 'n'], ['MED', (p) => String(p.med), 'n'],
      ['Decided by', (p) => p.rejected || p.decidedBy], ['Rule', (p) => p.importTerm],
      ['Marks', (p) => [...p.tags, ...p.communities, p.region, p.stale ? `stale until ${p.staleUntil}` : ''].filter(Boolean).join(' ')]], r.paths),
    h('h2', {}, 'What peers are told'),
    table('What peers are told', [['Peer', (t) => link(`peers/${t.peer}`, t.peer)], ['State', (t) => state(t.state === 'told' ? 'good' : 'faint', t.state)],
      ['Why', (t) => t.why], ['Rule', (t) => t.term]], e.told),
    h('h2', {}, 'Envoys'),
    table('What Envoys have of it', [['Envoy', (v) => v.node], ['Acknowledged', (v) => v.error ? state('bad', v.error) : v.acknowledged ? state('good', ago(v.acknowledgedAt) || 'yes') : state('warn', 'pending')],
      ['Resource', (v) => v.resource], ['Version', (v) => v.version]], r.envoys),
    table('What other nodes have against it', [['Node', (p) => p.node], ['What', (p) => p.kind], ['In its words', (p) => p.text], ['Since', (p) => ago(p.since)]], r.reports, 'Nothing.'),
  ];
}

function steps(t) {
  return [
    h('p', {}, t.broken ? state('bad', `Broken at ${t.broken.node}: ${t.broken.step}: ${t.broken.text} ${t.broken.advice}`) :
      t.complete ? state('good', `All holds (${t.millis.toFixed(1)} ms).`) : state('warn', 'Nothing is broken as far as anybody could tell; some steps could not be looked at.')),
    ...t.hops.map((hop) => table(`${hop.node}${hop.note ? `: ${hop.note}` : ''}`, [['Step', (x) => x.name],
      ['', (x) => state({ok: 'good', failed: 'bad'}[x.state] ?? 'warn', x.state)], ['', (x) => [x.text, x.advice].filter(Boolean).join(' ')],
      ['ms', (x) => x.millis.toFixed(1), 'n']], hop.steps)),
  ];
}
