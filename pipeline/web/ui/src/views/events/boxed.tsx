/** A picture with what it is about drawn over it. */

import { useSignal } from "@preact/signals";

export type Box = readonly [number, number, number, number] | readonly number[];

export function Boxed({
  src,
  alt,
  box,
  path,
  lazy,
  onError,
}: {
  src: string;
  alt: string;
  box?: Box | null;
  /** Points of the feet, as fractions of the picture. */
  path?: readonly (readonly [number, number])[];
  lazy?: boolean;
  onError?: () => void;
}) {
  const isThere = useSignal(false);
  const [left = 0, top = 0, right = 0, bottom = 0] = box ?? [];
  const last = path?.at(-1);
  return (
    <span class="boxed">
      <img
        key={src}
        src={src}
        alt={alt}
        loading={lazy ? "lazy" : undefined}
        decoding="async"
        onLoad={() => {
          isThere.value = true;
        }}
        onError={onError}
      />
      {isThere.value && (box || path) && (
        <svg viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true" focusable="false">
          {path && path.length > 1 && (
            <>
              <polyline class="boxed-edge" points={path.map((at) => at.join(",")).join(" ")} />
              <polyline class="boxed-path" points={path.map((at) => at.join(",")).join(" ")} />
            </>
          )}
          {last && <line class="boxed-feet" x1={last[0]} y1={last[1]} x2={last[0]} y2={last[1]} />}
          {box && (
            <>
              <rect class="boxed-edge" x={left} y={top} width={right - left} height={bottom - top} />
              <rect class="boxed-box" x={left} y={top} width={right - left} height={bottom - top} />
            </>
          )}
        </svg>
      )}
    </span>
  );
}
