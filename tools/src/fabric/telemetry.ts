/**
 * What an agent posts to the telemetry sink: events, each with its parameters.
 * Source: fabric.md 2, item 8; agent-contract 10, 12.2 (W:_send_encoded_event); common/telemetryevent.py.
 */
import { unescapeXml } from './xml.ts';

export interface TelemetryEvent {
  readonly providerId: string;
  readonly eventId: string;
  /** By name, in the order of the event; a number or a truth value is one here, too. */
  readonly parameters: Readonly<Record<string, string | number | boolean>>;
}

/** The events of one post, in its order. What is no event is passed over, as the real sink does. */
export function parseTelemetry(document: string): readonly TelemetryEvent[] {
  return sections(document, PROVIDER, '</Provider>').flatMap(([providerId, body]) =>
    // The agent escapes `>` in values, so nothing in them ends the section.
    sections(body, EVENT, ']]></Event>').map(([eventId, text]) => ({
      providerId: unescapeXml(providerId),
      eventId: unescapeXml(eventId),
      parameters: parseParameters(text),
    })),
  );
}

const PROVIDER = /<Provider id="([^"]*)">/g;
const EVENT = /<Event id="([^"]*)"><!\[CDATA\[/g;
/** Python's `quoteattr` takes the other quotes for a value with double ones. */
const PARAMETER = /<Param Name="([^"]*)" Value=(?:"([^"]*)"|'([^']*)') T="([^"]*)" ?\/>/g;

/**
 * What stands between each beginning and the end that follows it, with what the beginning names. One pass, which ends at the first
 * beginning without an end: an expression for both would look for the end anew from each beginning of a long text.
 */
function sections(text: string, begin: RegExp, end: string): (readonly [name: string, body: string])[] {
  const found: (readonly [string, string])[] = [];
  let next = 0;
  for (const { index, 0: head, 1: name = '' } of text.matchAll(begin)) {
    if (index < next) continue;
    const from = index + head.length;
    const to = text.indexOf(end, from);
    if (to < 0) break;
    found.push([name, text.slice(from, to)]);
    next = to + end.length;
  }
  return found;
}

function parseParameters(text: string): Record<string, string | number | boolean> {
  const rows = [...text.matchAll(PARAMETER)].map(([, name = '', double, single, type = '']) => {
    const value = unescapeXml(double ?? single ?? '');
    return [unescapeXml(name), readValue(value, type)] as const;
  });
  return Object.fromEntries(rows);
}

function readValue(text: string, type: string): string | number | boolean {
  if (type === 'mt:bool') return text.toLowerCase() === 'true';
  const isNumber =
    type === 'mt:uint64' || type === 'mt:int32' || type === 'mt:int64' || type === 'mt:float64';
  const number = Number(text);
  // A count beyond what a number holds exactly stays text.
  const isExact = type === 'mt:float64' ? Number.isFinite(number) : Number.isSafeInteger(number);
  return isNumber && text.trim() !== '' && isExact ? number : text;
}
