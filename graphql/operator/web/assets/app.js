// The page: which part of it is shown, by the fragment of its address, so that a link shows a colleague the same.

import {Api, Refused} from './api.js';
import {h} from './dom.js';
import {Store} from './store.js';
import {overview} from './pages/overview.js';
import {nodes} from './pages/nodes.js';
import {map} from './pages/map.js';
import {services, service} from './pages/services.js';
import {peers, peer} from './pages/peers.js';
import {envoys} from './pages/envoys.js';
import {graph} from './pages/graph.js';
import {audit} from './pages/audit.js';
import {call} from './pages/call.js';
import {calls} from './pages/calls.js';
import {keys} from './pages/keys.js';
import {organisations} from './pages/organisations.js';
import {policy, why} from './pages/policy.js';

const pages = [
  ['overview', 'Overview', overview], ['nodes', 'Nodes', nodes], ['map', 'Map', map], ['services', 'Services', services, service],
  ['peers', 'Peers', peers, peer], ['envoys', 'Envoys', envoys], ['graph', 'Graph', graph],
  ['calls', 'Calls', calls, call], ['organisations', 'Organisations', organisations], ['policy', 'Policy', policy, why],
  ['keys', 'Tokens and keys', keys], ['audit', 'Audit', audit],
];

const main = document.getElementById('main');
const connection = document.getElementById('connection');

/** token takes the token out of the address, where the link of catalyst web has it, and keeps it for this tab. */
function token() {
  const given = /^#token=([\w-]+)$/.exec(location.hash);
  if (given) {
    sessionStorage.setItem('token', given[1]);
    history.replaceState(null, '', location.pathname);
  }
  return sessionStorage.getItem('token');
}

function signIn(text) {
  const field = h('input', {type: 'password', name: 'token', autocomplete: 'off', required: true});
  main.replaceChildren(h('h1', {}, 'Sign in'), h('p', {}, text),
    h('form', {onsubmit: (e) => {
      e.preventDefault();
      sessionStorage.setItem('token', field.value.trim());
      location.reload();
    }}, h('label', {}, 'Token', field), h('button', {}, 'Sign in')));
  field.focus();
}

function start(kept) {
  const api = new Api(kept);
  const store = new Store(api);
  const stop = new AbortController();
  let close = () => {};
  let shown = null;

  function show() {
    const [path, query] = decodeURI(location.hash.replace(/^#\/?/, '')).split('?');
    const [name, ...rest] = path.split('/');
    const [id, title, list, one] = pages.find(([p]) => p === name) ?? pages[0];
    document.getElementById('nav').replaceChildren(...pages.map(([p, text]) =>
      h('a', {href: `#/${p}`, 'aria-current': p === id ? 'page' : null}, text)));
    close();
    const about = rest.join('/');
    const root = h('div');
    main.replaceChildren(root);
    document.title = `${about || title} · ${store.self || 'Catalyst Router'}`;
    close = (about && one ? one : list)(root, {api, store, about, query: new URLSearchParams(query ?? '')}) ?? (() => {});
    if (shown !== null && shown !== path) main.focus();
    shown = path;
  }

  function tell() {
    document.getElementById('name').textContent = store.self || 'Catalyst Router';
    const seconds = Math.round((Date.now() - (store.heard || Date.now())) / 1000);
    const text = store.state === 'live' ? 'Live' : store.state === 'lost' ?
      `Connection lost: what is shown is ${seconds} s old. Trying again.` : 'Connecting';
    if (connection.textContent !== text) connection.textContent = text;
    connection.className = store.state;
  }

  store.addEventListener('change', tell);
  store.addEventListener('refused', ({detail}) => {
    if (!(detail instanceof Refused)) return;
    stop.abort();
    sessionStorage.removeItem('token');
    close();
    signIn(detail.message);
  });
  setInterval(tell, 1000);
  setInterval(() => { if (store.state === 'live' && !document.hidden) store.refresh(stop.signal).catch(() => {}); }, 5000);
  window.addEventListener('hashchange', show);
  store.run(stop.signal);
  show();
}

const kept = token();
if (kept) start(kept); else signIn('The link that catalyst web prints on the node signs you in; or put the token here.');
