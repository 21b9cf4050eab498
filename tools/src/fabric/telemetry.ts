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
  return [...document.matchAll(PROVIDER)].flatMap(([, providerId = '', body = '']) =>
    [...body.matchAll(EVENT)].map(([, eventId = '', text = '']) => ({
      providerId: unescapeXml(providerId),
      eventId: unescapeXml(eventId),
      parameters: parseParameters(text),
    })),
  );
}

const PROVIDER = /<Provider id="([^"]*)">([\s\S]*?)<\/Provider>/g;
/** The agent escapes `>` in values, so nothing in them ends the section. */
const EVENT = /<Event id="([^"]*)"><!\[CDATA\[([\s\S]*?)\]\]><\/Event>/g;
/** Python's `quoteattr` takes the other quotes for a value with double ones. */
const PARAMETER = /<Param Name="([^"]*)" Value=(?:"([^"]*)"|'([^']*)') T="([^"]*)" ?\/>/g;

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
