// Policy: what is in force, what was decided lately, and why.

import {ago, h, link, state, table} from '../dom.js';
import {asked} from './live.js';

const query = `query ($denied: Boolean!) { policy { version hash enforce policies entities } policyVersions(first: 10) { number at by note }
  decisions(first: 100, denied: $denied) { id at allow shadow principal service action method path policies errors } }`;

export function policy(root, {api, query: asks}) {
  const denied = asks.get('denied') === 'yes';
  root.append(h('h1', {}, 'Policy'));
  return asked(root, api, query, {denied}, ({policy: p, policyVersions: versions, decisions}) => [
    h('p', {}, p.version < 0 ? state('bad', 'Nothing is in force.') : `Version ${p.version}, enforcement ${p.enforce}: ${p.policies.length} policies, ${p.entities} entities.`),
    h('p', {class: 'faint'}, p.policies.join(', ')),
    h('h2', {}, 'Decisions, newest first'),
    h('p', {}, denied ? link('policy', 'Show all that were kept') : link('policy?denied=yes', 'Only denials')),
    table('Decisions', [['When', (d) => ago(d.at)], ['', (d) => state(d.allow ? 'good' : 'bad', `${d.allow ? 'allowed' : 'denied'}${d.shadow ? ' (shadow)' : ''}`)],
      ['Who', (d) => d.principal], ['Service', (d) => d.service], ['What', (d) => [d.action, d.method, d.path].filter(Boolean).join(' ')],
      ['By', (d) => [...d.policies, ...d.errors].join(', ') || 'nothing matched'], ['Why', (d) => link(`policy/${d.id}`, d.id)]], decisions),
    h('h2', {}, 'Versions'),
    table('Versions, newest first', [['', (v) => String(v.number), 'n'], ['Applied', (v) => ago(v.at)], ['By', (v) => v.by], ['Note', (v) => v.note]], versions, 'None: the defaults are in force.'),
  ]).close;
}

const reasons = `query ($id: String!) { why(decision: $id) { decision { id at allow principal peer service action method path policies errors }
  texts { name text } nearest { policy text failed fact others } } }`;

export function why(root, {api, about}) {
  root.append(h('h1', {}, `Decision ${about}`));
  return asked(root, api, reasons, {id: about}, ({why: w}) => [
    h('p', {}, state(w.decision.allow ? 'good' : 'bad', w.decision.allow ? 'Allowed' : 'Denied'), ` ${ago(w.decision.at)}: ${w.decision.principal} ${w.decision.action} ${w.decision.service} ${w.decision.method} ${w.decision.path}`),
    ...w.texts.map((t) => h('div', {}, h('h2', {}, t.name), h('pre', {tabindex: '0'}, t.text))),
    ...w.decision.errors.map((e) => h('p', {class: 'error'}, e)),
    w.nearest ? h('div', {}, h('h2', {}, 'The policy that came closest'), h('p', {}, `${w.nearest.policy} wants ${w.nearest.failed}, but ${w.nearest.fact}.`), h('pre', {tabindex: '0'}, w.nearest.text)) : null,
    w.texts.length === 0 && !w.nearest ? h('p', {class: 'faint'}, 'No policy matched, and none came close.') : null,
  ], 60000).close;
}
