/** Where a value stands between two that are not known; null where none does. */
export function placesAlone(values: readonly (number | null)[]): number[] | null {
  const found = values.flatMap((value, place) => {
    const isAlone = (values[place - 1] ?? null) === null && (values[place + 1] ?? null) === null;
    return value !== null && isAlone ? [place] : [];
  });
  return found.length > 0 ? found : null;
}
