/**
 * Shared access signatures in what the agent passes on.
 * Source: WALinuxAgent 2.15 `common/utils/textutil.py` redact_sas_token; agent-contract 8.2.
 */

/**
 * Hides the query of every https URL whose query begins with a parameter of a shared access signature, as the agent
 * does in messages and events. It hides no other query: what a handler must hide, it hides itself.
 */
export function redactSas(text: string): string {
  if (!text.includes('?')) return text;
  return text.replace(/[^\s"']+/g, (word) => {
    const start = word.indexOf('https://');
    if (start < 0) return word;
    const query = word.slice(start).search(/\?(?:sv|st|se|sr|sp|sip|spr|sig)=/);
    return query < 0 ? word : `${word.slice(0, start + query + 1)}<redacted>`;
  });
}
