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
  stacks,
}: {
  caption: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  keyOf: (row: Row, index: number) => string | number;
  showCaption?: boolean;
  /** On a phone each row is a block of lines, so that nothing of it is beyond the edge. */
  stacks?: boolean;
}) {
  // What is laid out by other means than as a table is no table to a screen reader without roles.
  const role = (name: "table" | "row" | "rowgroup" | "cell" | "columnheader") =>
    stacks ? { role: name } : {};
  return (
    <div class="table-place" role="region" aria-label={caption} tabIndex={0}>
      <table class={stacks ? "table table-stacks" : "table"} {...role("table")}>
        <caption class={showCaption ? undefined : "unseen"}>{caption}</caption>
        <thead {...role("rowgroup")}>
          <tr {...role("row")}>
            {columns.map((column) => (
              <th
                key={column.key}
                scope="col"
                class={column.isNumber ? "number" : undefined}
                {...role("columnheader")}
              >
                {column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody {...role("rowgroup")}>
          {rows.map((row, index) => (
            <tr key={keyOf(row, index)} {...role("row")}>
              {columns.map((column) => (
                <td
                  key={column.key}
                  class={column.isNumber ? "number" : undefined}
                  data-title={stacks ? column.title : undefined}
                  {...role("cell")}
                >
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
