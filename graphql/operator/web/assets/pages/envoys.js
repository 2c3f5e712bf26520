// Envoys: what each has been sent, has acknowledged and refuses, in its own words; and the ports of TCP services.

import {ago, h, link, state, table} from '../dom.js';
import {asked} from './live.js';

const query = `{ envoys { node cutOff since outstanding bytes types { type sent acknowledged } refused { resource service version error at } }
  ports { free taken { service port pinned awaySince } reclaimed { at port from to awaySince } } }`;

export function envoys(root, {api}) {
  root.append(h('h1', {}, 'Envoys'));
  return asked(root, api, query, {}, ({envoys: all, ports}) => [
    all.length === 0 ? h('p', {}, state('bad', 'No Envoy is connected.')) : null,
    ...all.flatMap((e) => [
      h('h2', {}, e.node),
      e.cutOff ? h('p', {}, state('bad', `It is turned away each time that it connects: ${e.cutOff}`)) :
        h('p', {}, state(e.refused.length ? 'warn' : 'good', `connected ${ago(e.since)}, ${e.outstanding} resources wait for its acknowledgement, ${e.bytes} bytes on the way`)),
      table(`Resources of ${e.node}`, [['Type', (t) => t.type.split('.').pop()], ['Sent', (t) => String(t.sent), 'n'], ['Acknowledged', (t) => String(t.acknowledged), 'n']], e.types),
      e.refused.length ? table(`What ${e.node} refuses`, [['Service', (r) => r.service ? link(`services/${r.service}`, r.service) : ''], ['Resource', (r) => r.resource],
        ['In its words', (r) => r.error], ['When', (r) => ago(r.at)]], e.refused) : null,
    ]),
    h('h2', {}, 'Ports of TCP services'),
    ports ? h('p', {}, `${ports.free} are free.`) : null,
    table('Ports', [['Service', (p) => link(`services/${p.service}`, p.service)], ['Port', (p) => String(p.port), 'n'], ['Pinned', (p) => p.pinned ? 'yes' : ''],
      ['Away', (p) => p.awaySince ? ago(p.awaySince) : '']], ports?.taken ?? []),
    ports?.reclaimed.length ? table('Ports that went to another service', [['When', (p) => ago(p.at)], ['Port', (p) => String(p.port), 'n'], ['From', (p) => p.from], ['To', (p) => p.to]], ports.reclaimed) : null,
  ]).close;
}
