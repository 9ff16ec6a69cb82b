/** A sentence of the server, in which commands and settings stand in backticks. */

export function Said({ text }: { text: string }) {
  return (
    <>
      {text.split("`").map((part, n) => (n % 2 === 1 ? <code key={n}>{part}</code> : part))}
    </>
  );
}
