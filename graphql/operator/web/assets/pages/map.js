// The map: nodes and sessions as the routing table knows them, and the path of a chosen service drawn over them.

import {h, link, put, s, state, table} from '../dom.js';
import {follow} from './live.js';
import {pathOf} from './services.js';
import {sessionState} from './peers.js';

const width = 1000, top = 60, step = 84;

/** topology reads nodes and links out of the paths: each path is a chain from a peer to the origin. */
export function topology(store) {
  const nodes = new Map([[store.self, 0]]); // distance from here
  const links = new Map();
  const join = (a, b, down) => {
    const key = a < b ? `${a} ${b}` : `${b} ${a}`;
    links.set(key, {a, b, down: down ?? links.get(key)?.down ?? false});
  };
  for (const p of store.peers) {
    nodes.set(p.node, 1);
    join(store.self, p.node, p.state !== 'Established');
  }
  const seen = new Set();
  for (const route of store.services.values()) {
    for (const p of route.paths) {
      const key = p.nodePath.join(' ');
      if (p.local || seen.has(key)) continue;
      seen.add(key);
      p.nodePath.forEach((node, i) => {
        if (!nodes.has(node) || nodes.get(node) > i + 1) nodes.set(node, i + 1);
        if (i > 0) join(p.nodePath[i - 1], node);
      });
    }
  }
  return {nodes, links: [...links.values()]};
}

function places(nodes) {
  const layers = [];
  for (const [node, distance] of [...nodes].sort(([a], [b]) => a < b ? -1 : 1)) (layers[distance] ??= []).push(node);
  const used = layers.filter(Boolean);
  const tallest = Math.max(...used.map((l) => l.length));
  const at = new Map();
  used.forEach((layer, x) => layer.forEach((node, i) => at.set(node, {
    x: used.length === 1 ? width / 2 : 90 + x * (width - 180) / (used.length - 1),
    y: top + (i + .5) * tallest * step / layer.length - step / 2,
  })));
  return {at, height: top + tallest * step};
}

const minute = 60;

/** traffic is what went over a link in the last minute, both ways, and how the link is drawn. */
function traffic(edges, a, b) {
  const both = edges.filter((e) => e.from === a && e.to === b || e.from === b && e.to === a);
  const sum = (name) => both.reduce((n, e) => n + e[name], 0);
  const calls = sum('calls');
  return calls && {calls, wrong: sum('failed'), width: Math.min(12, 2 + Math.log10(calls) * 2),
    text: `${rate(calls)}${sum('failed') ? `, ${Math.ceil(100 * sum('failed') / calls)} % failed` : ''}`};
}

const rate = (calls) => calls >= minute ? `${Math.round(calls / minute)}/s` : `${calls}/min`;

export function map(root, {api, store, query}) {
  const field = h('input', {type: 'search', list: 'names', value: query.get('service') ?? '', autocomplete: 'off', spellcheck: 'false'});
  const names = h('datalist', {id: 'names'});
  const told = h('p', {role: 'status'});
  const picture = h('div');
  root.append(h('h1', {}, 'Map'),
    h('form', {onsubmit: (e) => e.preventDefault()}, h('label', {}, 'Path of the service', field), names), told, picture);
  const mostNodes = 400;
  let edges = [];
  let untold = '';
  const stop = new AbortController();
  async function look() {
    try {
      ({callEdges: edges} = await api.query(`{ callEdges(filter: {seconds: ${minute}}) { from to calls denied failed median p95 } }`, {}, stop.signal));
      untold = '';
    } catch (error) { if (!stop.signal.aborted) untold = error.message; }
    draw();
  }
  function draw() {
    if (!store.node) return;
    const {nodes, links} = topology(store);
    const chosen = store.services.get(field.value.trim());
    const path = chosen ? [store.self, ...pathOf(chosen)] : [];
    told.textContent = chosen ? `${field.value.trim()}: ${path.join(' › ')}` : field.value ? `${field.value} is not known here.` : `${nodes.size} nodes, ${links.length} links.`;
    const first = new Map([...nodes].sort((a, b) => a[1] - b[1]).slice(0, mostNodes));
    const {at, height} = places(first);
    const onPath = new Set(path.slice(1).map((n, i) => [path[i], n].sort().join(' ')));
    const down = new Set(links.filter((l) => l.down).map((l) => l.b));
    put(picture, s('svg', {class: 'map', viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': `Map of ${nodes.size} nodes; the table below says the same`},
      links.filter((l) => at.has(l.a) && at.has(l.b)).map((l) => s('line', {
        x1: at.get(l.a).x, y1: at.get(l.a).y, x2: at.get(l.b).x, y2: at.get(l.b).y,
        class: onPath.has([l.a, l.b].sort().join(' ')) ? 'path' : l.down ? 'down' : null,
      })),
      links.filter((l) => at.has(l.a) && at.has(l.b)).map((l) => [l, traffic(edges, l.a, l.b)]).filter(([, t]) => t).flatMap(([l, t]) => [
        s('line', {x1: at.get(l.a).x, y1: at.get(l.a).y, x2: at.get(l.b).x, y2: at.get(l.b).y, 'stroke-width': t.width,
          class: t.wrong ? 'calls wrong' : 'calls'}),
        s('text', {x: (at.get(l.a).x + at.get(l.b).x) / 2, y: (at.get(l.a).y + at.get(l.b).y) / 2 - 8, 'text-anchor': 'middle', class: t.wrong ? 'wrong' : null}, t.text),
      ]),
      [...at].map(([node, p]) => {
        const [organisation, name] = node.split('/');
        return s('g', {class: [node === store.self ? 'here' : '', down.has(node) ? 'down' : ''].join(' ')},
          s('circle', {cx: p.x, cy: p.y, r: 12}),
          s('text', {x: p.x, y: p.y - 20, 'text-anchor': 'middle'}, name ?? node),
          s('text', {x: p.x, y: p.y + 30, 'text-anchor': 'middle', class: 'organisation'}, organisation));
      })),
    nodes.size > mostNodes ? h('p', {class: 'faint'}, `The ${mostNodes} nearest of ${nodes.size} are drawn.`) : null,
    h('h2', {}, 'Calls of the last minute'),
    untold ? h('p', {class: 'faint'}, `${untold}.`) : table('Calls between nodes, as far as they crossed this one', [['From', (e) => e.from || 'applications'], ['To', (e) => e.to],
      ['Calls', (e) => String(e.calls), 'n'], ['Denied', (e) => String(e.denied), 'n'], ['Failed', (e) => e.failed ? state('bad', String(e.failed)) : '0', 'n'],
      ['Half took less than', (e) => `${e.median} ms`, 'n'], ['95 of 100 less than', (e) => `${e.p95} ms`, 'n']], edges),
    h('h2', {}, 'Sessions of this node'),
    table('Sessions', [['Peer', (p) => link(`peers/${p.node}`, p.node)], ['Session', sessionState], ['Last error', (p) => p.lastError]], store.peers),
    table('Nodes behind them', [['Node', (n) => n[0]], ['Hops from here', (n) => String(n[1]), 'n']], [...nodes].filter((n) => n[1] > 1).sort((a, b) => a[1] - b[1]).slice(0, mostNodes)));
  }
  field.addEventListener('input', () => {
    history.replaceState(null, '', `#/map${field.value ? `?service=${encodeURIComponent(field.value)}` : ''}`);
    names.replaceChildren(...store.names().filter((n) => n.includes(field.value)).slice(0, 20).map((n) => h('option', {value: n})));
    draw();
  });
  let timer = null;
  const end = follow(store, () => { timer ??= setTimeout(() => { timer = null; draw(); }, 250); });
  look();
  const looking = setInterval(() => { if (!document.hidden) look(); }, 5000);
  return () => { end(); stop.abort(); clearTimeout(timer); clearInterval(looking); };
}
