// Audit: what was ordered of the node and by whom, what happened to peerings, and what was refused.

import {ago, h, moment, state, table} from '../dom.js';
import {asked} from './live.js';

const query = `query ($filter: AuditFilter!) { audit(first: 200, filter: $filter) { at by action target outcome detail leftOut } }`;
const kinds = {done: 'good', failed: 'bad', refused: 'warn'};

export function audit(root, {api, query: chosen}) {
  const filter = {outcome: chosen.get('outcome') ?? '', action: chosen.get('action') ?? '', about: chosen.get('about') ?? ''};
  const form = h('form', {class: 'filter', onsubmit: (e) => {
    e.preventDefault();
    const given = [...new FormData(form)].filter(([, v]) => v.trim());
    location.hash = `#/audit?${new URLSearchParams(given)}`;
  }},
  h('label', {}, 'Outcome', h('select', {name: 'outcome'}, [['', 'any'], ['done', 'done'], ['failed', 'failed'], ['refused', 'refused']].map(
    ([value, text]) => h('option', {value, selected: value === filter.outcome}, text)))),
  h('label', {}, 'Order', h('input', {name: 'action', value: filter.action, placeholder: 'setPeer'})),
  h('label', {}, 'By or about', h('input', {name: 'about', value: filter.about, placeholder: 'bravo.example'})),
  h('button', {}, 'Show'));
  root.append(h('h1', {}, 'Audit'),
    h('p', {class: 'faint'}, 'All that changes something, whoever looked at calls, what happened to peerings, and what policies refused. ' +
      'The newest 200 of 1000 at hand are shown; audit.jsonl in the data directory has more.'), form);
  return asked(root, api, query, {filter}, ({audit: entries}) => [
    table('Orders, newest first', [
      ['When', (e) => h('time', {datetime: e.at, title: moment(e.at)}, ago(e.at)), 'whole'], ['By', (e) => e.by],
      ['Outcome', (e) => state(kinds[e.outcome], e.outcome)], ['Order', (e) => e.action, 'whole'], ['To', (e) => e.target],
      ['What', (e) => [e.detail, e.leftOut ? `(${e.leftOut} refusals before it were too many to be written down)` : ''].filter(Boolean).join(' ')],
    ], entries, 'None that is so.'),
  ]).close;
}
