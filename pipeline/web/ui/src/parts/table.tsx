import type { ComponentChildren } from "preact";

export interface Column<Row> {
  key: string;
  title: string;
  /** Numbers stand under each other at the right. */
  isNumber?: boolean;
  cell: (row: Row) => ComponentChildren;
}

/** A table that scrolls by itself where the screen is narrow; `caption` is what it is of. */
export function Table<Row>({
  caption,
  columns,
  rows,
  keyOf,
  showCaption,
}: {
  caption: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  keyOf: (row: Row, index: number) => string | number;
  showCaption?: boolean;
}) {
  return (
    <div class="table-place" role="region" aria-label={caption} tabIndex={0}>
      <table class="table">
        <caption class={showCaption ? undefined : "unseen"}>{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.key} scope="col" class={column.isNumber ? "number" : undefined}>
                {column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            <tr key={keyOf(row, index)}>
              {columns.map((column) => (
                <td key={column.key} class={column.isNumber ? "number" : undefined}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
