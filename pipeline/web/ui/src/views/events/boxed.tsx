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
  const size = useSignal<readonly [number, number] | null>(null);
  const [width, height] = size.value ?? [1, 1];
  const [left = 0, top = 0, right = 0, bottom = 0] = box ?? [];
  const place = {
    x: left * width,
    y: top * height,
    width: (right - left) * width,
    height: (bottom - top) * height,
  };
  const way = path?.map(([x, y]) => [x * width, y * height] as const);
  const points = way?.map((at) => at.join(",")).join(" ");
  const last = way?.at(-1);
  return (
    <span class="boxed">
      <img
        key={src}
        src={src}
        alt={alt}
        loading={lazy ? "lazy" : undefined}
        decoding="async"
        onLoad={(event) => {
          const { naturalWidth, naturalHeight } = event.currentTarget;
          size.value = [naturalWidth || 1, naturalHeight || 1];
        }}
        onError={onError}
      />
      {size.value && (box || way) && (
        // Cut off where the picture is, which fills its place.
        <svg
          viewBox={`0 0 ${width} ${height}`}
          preserveAspectRatio="xMidYMid slice"
          aria-hidden="true"
          focusable="false"
        >
          {way && way.length > 1 && (
            <>
              <polyline class="boxed-edge" points={points} />
              <polyline class="boxed-path" points={points} />
            </>
          )}
          {last && <line class="boxed-feet" x1={last[0]} y1={last[1]} x2={last[0]} y2={last[1]} />}
          {box && (
            <>
              <rect class="boxed-edge" {...place} />
              <rect class="boxed-box" {...place} />
            </>
          )}
        </svg>
      )}
    </span>
  );
}
