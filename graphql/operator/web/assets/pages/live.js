// How a page stays up to date: drawn again when the store changes, or when what was asked of the node is old.

import {h, put} from '../dom.js';

/** follow draws now and whenever the store changes; it returns what ends that. */
export function follow(store, draw) {
  const on = () => draw();
  store.addEventListener('change', on);
  draw();
  return () => store.removeEventListener('change', on);
}

/**
 * asked asks the node a query now and every so many milliseconds, and puts what draw makes of the answer into root.
 * An error is shown above what was there before. It returns what ends that, and again() for at once.
 */
export function asked(root, api, query, variables, draw, every = 3000) {
  const stop = new AbortController();
  const trouble = h('div');
  const body = h('div');
  root.append(trouble, body);
  let before = '';
  async function once() {
    try {
      const data = await api.query(query, variables, stop.signal);
      trouble.replaceChildren();
      const now = JSON.stringify(data);
      if (now === before && !hasTimes(now)) return;
      before = now;
      if (!body.contains(document.activeElement) || document.activeElement === document.body) {
        put(body, draw(data));
      }
    } catch (error) {
      if (!stop.signal.aborted) trouble.replaceChildren(h('p', {class: 'error', role: 'alert'}, error.message));
    }
  }
  once();
  const timer = setInterval(() => { if (!document.hidden) once(); }, every);
  return {close: () => { stop.abort(); clearInterval(timer); }, again: once};
}

/** hasTimes tells whether an answer holds times, whose age is drawn. */
const hasTimes = (text) => /"\d{4}-\d\d-\d\dT/.test(text);
