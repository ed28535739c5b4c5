/*
 * The dashboard of phone lines, as a strategy: Home Assistant's page asks it for a
 * dashboard or a view, and asks again when entities, devices, areas or floors change. All
 * that it returns are Home Assistant's own cards.
 *
 *   strategy:
 *     type: custom:dfks
 *     title: Phones          # of the view; "Phone lines" without it
 *     lines: [Reception]     # names or ids of devices; all lines without it
 *     compact: true          # neither ends nor the last change
 *
 * Every user's page loads this file, so it stays small and needs nothing.
 */

// Strict JSON, for a test compares the languages. Names of tiles have room for some 14
// characters.
const TEXTS = {
  "en": {
    "title": "Phone lines",
    "description": "All phone lines with their keys and targets, by floor and area. New lines appear by themselves.",
    "do_not_disturb": "Do not disturb",
    "call_forwarding_always": "Forward all",
    "call_forwarding_busy": "If busy",
    "call_forwarding_no_answer": "If no answer",
    "until": "until",
    "sync_status": "Sync status",
    "last_change": "Last change",
    "all_on": "All quiet",
    "all_off": "All ring",
    "elsewhere": "Other lines",
    "none": "There is no phone line yet. Add one on the page of the integration, under *Settings > Devices & services*; it appears here by itself."
  },
  "de": {
    "title": "Telefonleitungen",
    "description": "Alle Telefonleitungen mit ihren Tasten und Zielen, nach Etage und Bereich. Neue Leitungen erscheinen von selbst.",
    "do_not_disturb": "Nicht stören",
    "call_forwarding_always": "Alles umleiten",
    "call_forwarding_busy": "Bei besetzt",
    "call_forwarding_no_answer": "Nichtannahme",
    "until": "bis",
    "sync_status": "Synchronisierung",
    "last_change": "Letzte Änderung",
    "all_on": "Alle ruhig",
    "all_off": "Alle klingeln",
    "elsewhere": "Weitere Leitungen",
    "none": "Es gibt noch keine Telefonleitung. Füge eine auf der Seite der Integration hinzu, unter *Einstellungen > Geräte & Dienste*; sie erscheint hier von selbst."
  },
  "fr": {
    "title": "Lignes téléphoniques",
    "description": "Toutes les lignes téléphoniques avec leurs touches et leurs destinations, par étage et par pièce. Les nouvelles lignes apparaissent d'elles-mêmes.",
    "do_not_disturb": "Ne pas déranger",
    "call_forwarding_always": "Tout renvoyer",
    "call_forwarding_busy": "Si occupé",
    "call_forwarding_no_answer": "Sans réponse",
    "until": "jusqu'à",
    "sync_status": "Synchronisation",
    "last_change": "Dernier changement",
    "all_on": "Silence partout",
    "all_off": "Tout sonne",
    "elsewhere": "Autres lignes",
    "none": "Il n'y a pas encore de ligne téléphonique. Ajoutez-en une sur la page de l'intégration, sous *Paramètres > Appareils et services* ; elle apparaîtra ici d'elle-même."
  },
  "es": {
    "title": "Líneas telefónicas",
    "description": "Todas las líneas telefónicas con sus teclas y destinos, por planta y área. Las líneas nuevas aparecen solas.",
    "do_not_disturb": "No molestar",
    "call_forwarding_always": "Desviar todo",
    "call_forwarding_busy": "Si ocupado",
    "call_forwarding_no_answer": "Sin respuesta",
    "until": "hasta",
    "sync_status": "Sincronización",
    "last_change": "Último cambio",
    "all_on": "Todas en silencio",
    "all_off": "Todas suenan",
    "elsewhere": "Otras líneas",
    "none": "Todavía no hay ninguna línea telefónica. Añade una en la página de la integración, en *Ajustes > Dispositivos y servicios*; aparecerá aquí sola."
  },
  "it": {
    "title": "Linee telefoniche",
    "description": "Tutte le linee telefoniche con i loro tasti e destinazioni, per piano e area. Le nuove linee compaiono da sole.",
    "do_not_disturb": "Non disturbare",
    "call_forwarding_always": "Devia tutto",
    "call_forwarding_busy": "Se occupato",
    "call_forwarding_no_answer": "Senza risposta",
    "until": "fino a",
    "sync_status": "Sincronizzazione",
    "last_change": "Ultima modifica",
    "all_on": "Tutte mute",
    "all_off": "Tutte squillano",
    "elsewhere": "Altre linee",
    "none": "Non c'è ancora nessuna linea telefonica. Aggiungine una nella pagina dell'integrazione, in *Impostazioni > Dispositivi e servizi*; comparirà qui da sola."
  },
  "nl": {
    "title": "Telefoonlijnen",
    "description": "Alle telefoonlijnen met hun toetsen en bestemmingen, per verdieping en ruimte. Nieuwe lijnen verschijnen vanzelf.",
    "do_not_disturb": "Niet storen",
    "call_forwarding_always": "Alles doorsturen",
    "call_forwarding_busy": "Bij bezet",
    "call_forwarding_no_answer": "Geen gehoor",
    "until": "tot",
    "sync_status": "Synchronisatie",
    "last_change": "Laatste wijziging",
    "all_on": "Alles stil",
    "all_off": "Alles gaat over",
    "elsewhere": "Andere lijnen",
    "none": "Er is nog geen telefoonlijn. Voeg er een toe op de pagina van de integratie, onder *Instellingen > Apparaten & diensten*; hij verschijnt hier vanzelf."
  }
};

const DO_NOT_DISTURB = "do_not_disturb";
const FORWARDINGS = [
  "call_forwarding_always",
  "call_forwarding_busy",
  "call_forwarding_no_answer",
];
const FEATURES = [DO_NOT_DISTURB, ...FORWARDINGS];

// What a device has one of, at least, if it is a line that can be shown.
const OF_A_LINE = [...FEATURES, "phone_connected", "sync_status", "feature_change"];

// Columns of the view on a wide screen, and of twelve that a tile takes in one of them.
const MAX_COLUMNS = 4;
const HALF = { columns: 6 };
const FULL = { columns: "full" };

const textsOf = (hass) => {
  const language = hass?.locale?.language ?? hass?.language;
  return TEXTS[language?.split("-")[0]] ?? TEXTS.en;
};

const byName = (one, other) => one.name.localeCompare(other.name, undefined, { numeric: true });

/** Returns the lines that can be shown; their entities by translation key. */
const findLines = (hass, config) => {
  const lines = new Map();
  for (const entity of Object.values(hass.entities)) {
    const device = hass.devices[entity.device_id];
    if (entity.platform !== "dfks" || entity.hidden || !device) continue;
    if (!lines.has(device.id)) {
      lines.set(device.id, {
        id: device.id,
        name: device.name_by_user || device.name || "",
        area: hass.areas[device.area_id],
        entities: {},
      });
    }
    lines.get(device.id).entities[entity.translation_key] = entity.entity_id;
  }
  const wanted = config.lines && [config.lines].flat().map((line) => `${line}`.toLowerCase());
  return [...lines.values()]
    .filter((line) => OF_A_LINE.some((key) => line.entities[key]))
    .filter((line) => !wanted || [line.id, line.name].some((one) => wanted.includes(one.toLowerCase())))
    .sort(byName);
};

/**
 * Returns the lines in groups, in the order of the page, each under a heading or none.
 *
 * An area has a heading where it has several lines; one that is alone in its area says so
 * in its own heading. Floors have one where there are several.
 */
const groupLines = (hass, lines, texts) => {
  const groups = [];
  const floorOf = (line) => hass.floors?.[line.area?.floor_id];
  const placed = lines.filter((line) => line.area);
  const homeless = lines.filter((line) => !line.area);
  const floors = [...new Set(placed.map(floorOf))].sort((one, other) => {
    if (!one || !other) return one ? -1 : other ? 1 : 0;
    return (one.level ?? 0) - (other.level ?? 0) || byName(one, other);
  });
  for (const floor of floors) {
    const here = placed.filter((line) => floorOf(line) === floor);
    const areas = [...new Set(here.map((line) => line.area))].sort(byName);
    const linesOf = (area) => here.filter((line) => line.area === area);
    const alone = areas.filter((area) => linesOf(area).length === 1).flatMap(linesOf);
    if (!floor) alone.push(...homeless.splice(0));
    const isOneArea = areas.length === 1 && !alone.length;
    if (floors.length > 1 && !isOneArea) {
      const heading = floor?.name ?? texts.elsewhere;
      const icon = floor?.icon ?? "mdi:floor-plan";
      groups.push({ heading, icon, all: floor ? here : [], lines: alone, withArea: true });
    } else if (alone.length) {
      groups.push({ lines: alone, withArea: true });
    }
    for (const area of areas) {
      const all = linesOf(area);
      if (all.length < 2) continue;
      const withFloor = floors.length > 1 && isOneArea && floor;
      const heading = withFloor ? `${floor.name} · ${area.name}` : area.name;
      groups.push({ heading, icon: area.icon ?? "mdi:texture-box", all, lines: all });
    }
  }
  if (homeless.length) {
    groups.push({
      heading: groups.length ? texts.elsewhere : undefined,
      icon: "mdi:deskphone",
      lines: homeless,
    });
  }
  return groups;
};

const setAll = (lines, status, icon, text) => ({
  type: "button",
  icon,
  text,
  tap_action: {
    action: "perform-action",
    perform_action: "dfks.set_feature",
    target: { device_id: lines.map((line) => line.id) },
    data: { feature: DO_NOT_DISTURB, status },
  },
});

/** Returns the heading of a group, with keys for all its lines if they are several. */
const groupSection = (group, texts) => {
  const quiet = (group.all ?? []).filter((line) => line.entities[DO_NOT_DISTURB]);
  return {
    type: "grid",
    column_span: MAX_COLUMNS,
    cards: [
      {
        type: "heading",
        heading: group.heading,
        icon: group.icon,
        badges:
          quiet.length < 2
            ? []
            : [
                setAll(quiet, true, "mdi:minus-circle", texts.all_on),
                setAll(quiet, false, "mdi:bell-outline", texts.all_off),
              ],
      },
    ],
  };
};

/** Returns the heading of a line: what it is called, its rings, whether its phone is there. */
const lineHeading = (hass, line, group) => {
  const badges = [];
  for (const key of ["call_forwarding_no_answer_rings", "phone_connected"]) {
    if (line.entities[key]) {
      badges.push({
        type: "entity",
        entity: line.entities[key],
        // The icon says whether a phone is there; its words would cut a long name.
        show_state: key !== "phone_connected",
        color: "state",
        tap_action: { action: "more-info" },
      });
    }
  }
  const { area, name } = line;
  const inArea = group.withArea && area && area.name.toLowerCase() !== name.toLowerCase();
  return {
    type: "heading",
    heading: inArea ? `${area.name} · ${name}` : name,
    heading_style: group.heading ? "subtitle" : "title",
    icon: "mdi:deskphone",
    badges,
    ...(hass.user?.is_admin && {
      tap_action: { action: "navigate", navigation_path: `/config/devices/device/${line.id}` },
    }),
  };
};

/** Returns the tile of a feature: its icon switches, the rest of a forwarding asks where to. */
const featureTile = (line, feature, texts) => {
  const target = line.entities[`${feature}_target`];
  const isForwarding = feature !== DO_NOT_DISTURB;
  return {
    type: "tile",
    entity: line.entities[feature],
    name: texts[feature],
    color: isForwarding ? "amber" : "red",
    icon_tap_action: { action: "toggle" },
    grid_options: HALF,
    ...(isForwarding
      ? {
          state_content: ["state", "forward_to"],
          tap_action: target ? { action: "more-info", entity: target } : { action: "more-info" },
        }
      : { tap_action: { action: "toggle" } }),
  };
};

/** Returns the section of a line. */
const lineSection = (hass, line, group, compact, texts) => {
  const { entities } = line;
  const has = FEATURES.filter((feature) => entities[feature]);
  const cards = [lineHeading(hass, line, group)];
  if (entities.sync_status) {
    cards.push({
      type: "tile",
      entity: entities.sync_status,
      name: texts.sync_status,
      color: "orange",
      grid_options: FULL,
      visibility: [
        { condition: "state", entity: entities.sync_status, state_not: "synchronized" },
      ],
    });
  }
  cards.push(...has.map((feature) => featureTile(line, feature, texts)));
  if (compact) return { type: "grid", cards };
  for (const feature of has.filter((one) => entities[`${one}_until`])) {
    cards.push({
      type: "tile",
      entity: entities[`${feature}_until`],
      name: `${texts[feature]} ${texts.until}`,
      grid_options: FULL,
      visibility: [{ condition: "state", entity: entities[feature], state: "on" }],
    });
  }
  if (entities.feature_change) {
    cards.push({
      type: "tile",
      entity: entities.feature_change,
      name: texts.last_change,
      state_content: ["event_type", "state"],
      grid_options: FULL,
      visibility: [
        { condition: "state", entity: entities.feature_change, state_not: "unknown" },
      ],
    });
  }
  return { type: "grid", cards };
};

class LineView extends HTMLElement {
  static registryDependencies = ["entities", "devices", "areas", "floors"];

  static async generate(config, hass) {
    const texts = textsOf(hass);
    const lines = findLines(hass, config);
    const sections = groupLines(hass, lines, texts).flatMap((group) => [
      ...(group.heading ? [groupSection(group, texts)] : []),
      ...group.lines.map((line) => lineSection(hass, line, group, config.compact, texts)),
    ]);
    if (!lines.length) {
      sections.push({ type: "grid", cards: [{ type: "markdown", content: texts.none }] });
    }
    return {
      title: config.title ?? texts.title,
      type: "sections",
      max_columns: MAX_COLUMNS,
      sections,
    };
  }
}

class LineDashboard extends HTMLElement {
  static registryDependencies = [];

  static async generate(config, hass) {
    const title = config.title ?? textsOf(hass).title;
    return { title, views: [{ title, path: "lines", strategy: { ...config, title } }] };
  }

  static getCreateSuggestions(hass) {
    return { title: textsOf(hass).title, icon: "mdi:deskphone" };
  }
}

const register = () => {
  window.customStrategies = window.customStrategies || [];
  for (const [strategyType, element] of [
    ["dashboard", LineDashboard],
    ["view", LineView],
  ]) {
    const tag = `ll-strategy-${strategyType}-dfks`;
    if (customElements.get(tag)) continue;
    customElements.define(tag, element);
    // Home Assistant's page reads the names when it lists them, and has a language by then.
    const texts = () => textsOf(document.querySelector("home-assistant")?.hass);
    window.customStrategies.push({
      type: "dfks",
      strategyType,
      get name() {
        return texts().title;
      },
      get description() {
        return texts().description;
      },
    });
  }
};

// The page puts a registry of its own in the place of the browser's when it starts, and
// does not find what was defined before: this module may be quicker than the page is.
customElements.whenDefined("home-assistant").then(register);
