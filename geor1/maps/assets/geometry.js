"use strict";
/* Great circles on the sphere, split at the antimeridian; an equirectangular CRS true at 40 degrees north and south. */
(function () {
  const errors = [];
  const geor1 = (window.geor1 = { errors });
  window.addEventListener("error", (event) => errors.push(String(event.message)));
  window.addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
  document.addEventListener("securitypolicyviolation", (event) => errors.push("CSP " + event.violatedDirective));

  const RADIANS = Math.PI / 180;
  const STEP_DEGREES = 2;

  function unit(lat, lon) {
    const c = Math.cos(lat * RADIANS);
    return [c * Math.cos(lon * RADIANS), c * Math.sin(lon * RADIANS), Math.sin(lat * RADIANS)];
  }

  /* Unit vectors along the shortest arc; between antipodes the arc that leaves northwards. */
  function arcVectors(lat1, lon1, lat2, lon2) {
    const a = unit(lat1, lon1), b = unit(lat2, lon2);
    const dot = a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    let tangent = b.map((value, k) => value - dot * a[k]);
    const length = Math.hypot(...tangent), angle = Math.atan2(length, dot);
    if (length > 1e-9) tangent = tangent.map((value) => value / length);
    else {
      const s = Math.sin(lat1 * RADIANS);
      tangent = [-s * Math.cos(lon1 * RADIANS), -s * Math.sin(lon1 * RADIANS), Math.cos(lat1 * RADIANS)];
    }
    const steps = Math.max(1, Math.ceil(angle / RADIANS / STEP_DEGREES)), vectors = [];
    for (let i = 0; i <= steps; i++) {
      const c = Math.cos((i / steps) * angle), s = Math.sin((i / steps) * angle);
      vectors.push(a.map((value, k) => c * value + s * tangent[k]));
    }
    return vectors;
  }

  /* The arc as pieces that never jump across the map: each a flat [lon, lat, lon, lat, ...], longitudes in [-180, 180]. */
  geor1.arc = function (lat1, lon1, lat2, lon2) {
    const vectors = arcVectors(lat1, lon1, lat2, lon2), last = vectors.length - 1, pieces = [];
    const points = vectors.map(([x, y, z]) => [Math.atan2(y, x) / RADIANS, Math.atan2(z, Math.hypot(x, y)) / RADIANS]);
    points[0] = [lon1, lat1];
    points[last] = [lon2, lat2];
    let piece = [lon1, lat1];
    for (let i = 1; i <= last; i++) {
      if (Math.abs(points[i][0] - points[i - 1][0]) > 180) {
        const a = vectors[i - 1], b = vectors[i], u = Math.abs(b[1]), v = Math.abs(a[1]), edge = points[i - 1][0] > 0 ? 180 : -180;
        // the crossing lies in the plane of the meridians 0 and 180
        const lat = u + v === 0 ? points[i][1] : Math.atan2(u * a[2] + v * b[2], Math.abs(u * a[0] + v * b[0])) / RADIANS;
        piece.push(edge, lat);
        pieces.push(piece);
        piece = [-edge, lat];
      }
      piece.push(points[i][0], points[i][1]);
    }
    pieces.push(piece);
    return pieces;
  };

  /* Place in the map's unit square: 0 to 1 eastwards from 180 W, downwards from the top of the CRS. */
  geor1.mercator = false; // online tiles come in Web Mercator
  geor1.unitX = (lon) => (lon + 180) / 360;
  geor1.unitY = function (lat) {
    if (!geor1.mercator) return 0.25 * STRETCH - (STRETCH / 360) * lat;
    const s = Math.sin(Math.max(-85.0511, Math.min(85.0511, lat)) * RADIANS);
    return 0.5 - Math.log((1 + s) / (1 - s)) / (4 * Math.PI);
  };

  const STRETCH = 1 / Math.cos(40 * RADIANS);
  L.CRS.Geor1 = L.extend({}, L.CRS.EPSG4326, {
    code: "equirectangular, true at 40 degrees",
    transformation: L.transformation(1 / 360, 0.5, -STRETCH / 360, 0.25 * STRETCH),
    wrapLng: undefined,
  });
})();
